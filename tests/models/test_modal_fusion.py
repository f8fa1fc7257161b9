"""Fusion of modalities: what is missing changes nothing, tokens have no gaps, one always stays."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.modal_fusion import Inputs, ModalFusion
from heedful.nn.attention import Attention
from heedful.nn.pooling import AttentionPooling

SIZES = {"labels": 5, "vocabulary": 9, "size": 8, "channels": 1, "bands": 12, "width": 16}


def made(**settings):
    torch.manual_seed(0)
    return ModalFusion(**{**SIZES, "heads": 2, "feedforward": 8, "layers": 1, **settings}).eval()


def inputs(present):
    draw = torch.Generator().manual_seed(1)
    batch = len(present)
    return Inputs(
        images=torch.randn(batch, 1, 8, 8, generator=draw),
        features=torch.randn(batch, 20, 12, generator=draw),
        frames=torch.tensor([20, 9, 13, 1][:batch]),
        text=torch.randint(1, 9, (batch, 6), generator=draw),
        characters=torch.tensor([6, 2, 4, 1][:batch]),
        present=torch.tensor(present, dtype=torch.bool),
    )


PRESENT = [[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]]
ATTENTION = pytest.mark.parametrize("attention", [True, False])


@ATTENTION
def test_what_is_missing_changes_nothing(attention):
    model, given = made(attention=attention), inputs(PRESENT)
    changed = given._replace(
        images=torch.where(given.present[:, 0, None, None, None], given.images, 7.0),
        text=torch.where(given.present[:, 2, None], given.text, 3),
    )
    logits = model(given)
    assert logits.shape == (4, 5)
    torch.testing.assert_close(model(changed), logits)
    for row in range(3):  # what is there does
        other = given.images.clone()
        other[row] += 1
        moved = not torch.allclose(model(given._replace(images=other))[row], logits[row])
        assert moved == bool(PRESENT[row][0])
    assert not torch.allclose(logits[1], model(inputs([[1, 1, 1]] * 4))[1])


@ATTENTION
def test_company_and_padding_change_nothing(attention):
    model, given = made(attention=attention), inputs(PRESENT)
    alone = Inputs(*(each[1:2] for each in given))
    cut = alone._replace(features=alone.features[:, :12], text=alone.text[:, :2])
    blanked = given._replace(features=given.features.clone())
    blanked.features[1, 9:] = 0
    zeroed = cut._replace(features=blanked.features[1:2, :12])
    torch.testing.assert_close(model(zeroed)[0], model(blanked)[1], rtol=1e-4, atol=1e-5)


def test_tokens_have_no_gaps():
    model = made()
    found = model.tokens(inputs(PRESENT))
    states = [5, 3, 4, 1]  # of four frames each
    wanted = [3 + 16 + 5 + 6, 3 + 3 + 2, 3 + 16, 3]
    assert states[:2] == [5, 3]
    assert found.lengths.tolist() == wanted
    assert found.x.shape[1] == max(wanted)
    kinds = [row[:length] for row, length in zip(found.kinds.tolist(), wanted, strict=True)]
    assert kinds[0] == [0, 1, 2] + [0] * 16 + [1] * 5 + [2] * 6
    assert kinds[1] == [0, 1, 2] + [1] * 3 + [2] * 2
    assert kinds[2] == [0, 1, 2] + [0] * 16


def test_one_modality_always_stays():
    model = made(modality_dropout=0.9)
    present = torch.tensor([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]] * 50, dtype=torch.bool)
    torch.manual_seed(2)
    stays = model._dropped(present)
    assert not (stays & ~present).any()
    assert torch.equal(stays.any(1), present.any(1))
    assert stays.sum() < 0.6 * present.sum()


def test_modalities_are_dropped_in_training_alone():
    model, given = made(modality_dropout=0.9, dropout=0.0), inputs(PRESENT)
    torch.testing.assert_close(model(given), model(given))
    model.train()
    assert not torch.allclose(model(given), model(given))


def test_sites_are_heedfuls_own():
    kinds = [type(each) for each in made(layers=2).modules()]
    assert kinds.count(Attention) == 2
    assert kinds.count(AttentionPooling) == 1
    assert Attention not in [type(each) for each in made(attention=False).modules()]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"patch": 3}, "patch must divide size, got patch=3, size=8"),
        ({"modality_dropout": 1.0}, "modality_dropout must be at least 0 and below 1, got 1.0"),
        ({"heads": 3}, "heads must divide width, got heads=3, width=16"),
    ],
)
def test_it_refuses_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
