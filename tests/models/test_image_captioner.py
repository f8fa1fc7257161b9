"""The image captioner: steps are the whole, words see those before them, cells lie in rows."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.models.decoding import Limits, beam, greedy
from heedful.models.image_captioner import ImageCaptioner
from heedful.models.seq2seq import Seq2Seq
from heedful.nn.attention import Attention


def made(**settings):
    torch.manual_seed(0)
    sizes = {"target_size": 11, "size": 12, "width": 8, "heads": 2, "patch": 4, "feedforward": 16}
    return ImageCaptioner(**{**sizes, **settings}).eval()


def images(rows=3, size=12, channels=3):
    return torch.randn(rows, channels, size, size, generator=torch.Generator().manual_seed(1))


TARGET = torch.tensor([[1, 5, 6, 7], [1, 8, 9, 2], [1, 4, 10, 3]])
NETWORKS = (
    {},
    {"encoder": "patches", "patch": 3, "encoder_layers": 1},
    {"attention": False},
    {"channels": 1, "patch": 2, "decoder_layers": 1},
)


@pytest.mark.parametrize("settings", NETWORKS)
def test_steps_give_what_the_whole_gives(settings):
    model, given = made(**settings), images(channels=settings.get("channels", 3))
    assert isinstance(model, Seq2Seq)
    whole = model(given, TARGET)
    assert whole.shape == (3, 4, 11)
    state = model.start(given, torch.ones(3, dtype=torch.long))
    for place in range(4):
        torch.testing.assert_close(model.step(TARGET[:, place], state), whole[:, place])
    state.select(torch.tensor([2, 0]))
    assert model.step(TARGET[[2, 0], 3], state).shape == (2, 11)


def test_a_word_sees_only_those_before_it():
    model, changed = made(), TARGET.clone()
    changed[:, 2] = 0
    one, other = model(images(), TARGET), model(images(), changed)
    torch.testing.assert_close(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2], other[:, 2])


@pytest.mark.parametrize("search", [greedy, beam])
def test_it_writes_texts(search):
    given, lengths = images(), torch.ones(3, dtype=torch.long)
    texts = search(made(), given, lengths, limits=Limits(max_length=5))
    assert len(texts) == 3
    assert all(len(text) <= 5 for text in texts)


def test_cells_are_those_of_the_image_row_by_row():
    """With patches, a pixel changes its own cell alone."""
    model, given = made(encoder="patches"), images(1)
    changed = given.clone()
    changed[0, :, 5, 11] += 1  # the second row of cells, the third column
    apart = (model.encode(given) - model.encode(changed)).abs().sum(-1)[0]
    assert apart.nonzero().flatten().tolist() == [5]


def test_alignment_is_the_mean_of_layers_and_heads():
    model = made()
    found = model.alignment(images(), TARGET)
    assert found.shape == (3, 4, 9)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 4))
    heard = []
    for layer in model.decoder:
        layer.cross_attention.register_forward_pre_hook(
            lambda module, args, kwargs: heard.append(
                module.weights(*args, kwargs["context"], mask=kwargs["mask"]).mean(1)
            ),
            with_kwargs=True,
        )
    model(images(), TARGET)
    torch.testing.assert_close(found, torch.stack(heard).mean(0))


def test_without_attention_there_is_no_alignment_but_a_mean():
    model = made(attention=False)
    assert model.encode(images()).shape == (3, 1, 8)
    with pytest.raises(UnsupportedError, match="a layer must look at the image to show where"):
        model.alignment(images(), TARGET)


def test_words_are_hidden_in_training_only():
    model = made(word_dropout=0.9)
    seen = []
    model.target_embedding.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    model(images(), TARGET)
    model.train()(images(), TARGET)
    assert torch.equal(seen[0], TARGET)
    assert (seen[1][:, 0] == 1).all()
    assert (seen[1] == 3).sum() > 5


def test_every_site_is_heedfuls_own():
    sites = [each for each in made(encoder_layers=2).modules() if isinstance(each, Attention)]
    assert len(sites) == 2 + 2 * 2


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"patch": 5}, "patch must divide size, got patch=5, size=12"),
        ({"patch": 3}, "patch must be a power of two above 1 with cnn, got 3"),
        ({"patch": 1}, "patch must be a power of two above 1 with cnn, got 1"),
        ({"encoder": "lstm"}, "encoder must be one of cnn, patches, got 'lstm'"),
        ({"word_dropout": 1.0}, "word_dropout must be at least 0 and below 1, got 1.0"),
        ({"heads": 3}, "heads must divide width, got heads=3, width=8"),
    ],
)
def test_it_refuses_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)


def test_other_images_are_refused():
    with pytest.raises(ShapeError, match=re.escape("images must be (3, 12, 12), got (3, 8, 8)")):
        made()(images(size=8), TARGET)
