"""The layer of two streams is its definition, for every mask of either stream."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.co import CrossModalLayer
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.oracle.co import cross_modal
from heedful.testing.tolerance import assert_close, roundings

SETTINGS = {"first_width": 6, "second_width": 4, "heads": 2, "dim": 5}


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(**settings):
    module = CrossModalLayer(**SETTINGS, first_feedforward=7, second_feedforward=8, **settings)
    for seed, parameter in enumerate(module.double().parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.5)
    return module


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("first_kind, second_kind", [("none", "lengths"), ("dense", "empty_text")])
def test_matches_the_oracle(first_kind, second_kind, norm):
    module = layer(norm=norm)
    first, second = draw(2, 5, 6), draw(2, 7, 4, seed=2)
    # the second stream asks about the first one and the other way round
    first_mask, second_sees = MASKS[first_kind](Sizes(heads=2, queries=7, keys=5))
    second_mask, first_sees = MASKS[second_kind](Sizes(heads=2, queries=5, keys=7))
    masks = {"first_mask": first_mask, "second_mask": second_mask}
    parameters = {name: x.detach().numpy() for name, x in module.named_parameters()}
    want = cross_modal(
        first.numpy(),
        second.numpy(),
        first_sees,
        second_sees,
        parameters=parameters,
        heads=2,
        norm=norm,
    )
    actual = (*module(first, second, **masks), *module.weights(first, second, **masks))
    for one, other in zip(actual, map(torch.from_numpy, want), strict=True):
        limit = roundings(torch.float64, 6, 10, 7, 10, 8, 6, 6)
        assert_close(one, other, roundings=limit, largest=max(1.0, other.abs().max().item()))


def test_streams_may_change_places():
    module = layer()
    other = CrossModalLayer(
        first_width=4, second_width=6, heads=2, dim=5, first_feedforward=8, second_feedforward=7
    ).double()
    swap = {"first": "second", "second": "first"}
    names = {
        f"{swap[name.split('_')[0]]}_{name.partition('_')[2]}": x
        for name, x in module.state_dict().items()
    }
    other.load_state_dict(names)
    first, second = draw(2, 5, 6), draw(2, 7, 4, seed=2)
    mask = Mask.lengths(torch.tensor([3, 7]))
    one = module(first, second, second_mask=mask)
    two = other(second, first, first_mask=mask)
    assert torch.equal(one.first, two.second)
    assert torch.equal(one.second, two.first)


def test_a_stream_without_positions_says_nothing():
    module = layer(norm="pre")
    first, second = draw(2, 5, 6), draw(2, 7, 4, seed=2)
    mask = Mask.lengths(torch.tensor([0, 0]))
    assert (module.weights(first, second, second_mask=mask).first == 0).all()
    output = module(first, second, second_mask=mask)
    assert torch.equal(output.first, module(first, 3 * second, second_mask=mask).first)


def test_dropout_acts_in_training_only():
    module = layer(dropout=0.5)
    first, second = draw(2, 5, 6), draw(2, 7, 4, seed=2)
    assert not torch.equal(module(first, second).first, module(first, second).first)
    module.eval()
    assert torch.equal(module(first, second).first, layer()(first, second).first)


def test_feedforwards_are_four_widths_unless_said():
    module = CrossModalLayer(**SETTINGS)
    assert module.first_feedforward.inner.out_features == 24
    assert module.second_feedforward.inner.out_features == 16


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"first_feedforward": 0}, "first_feedforward must be at least 1, got 0"),
        ({"second_feedforward": -1}, "second_feedforward must be at least 1, got -1"),
        ({"norm": "between"}, "norm must be one of pre, post, got 'between'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.5}, "dropout must be at least 0 and below 1, got -0.5"),
    ],
)
def test_rejects_settings(changed, message):
    with pytest.raises(ConfigError, match=message):
        CrossModalLayer(**SETTINGS, **changed)
