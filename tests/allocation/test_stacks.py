"""Which layers make a stack, and what a stack is without some of them."""

import pytest
import torch
from torch import nn

from heedful.allocation.fewer_layers import without_layers
from heedful.allocation.plan import Plan
from heedful.allocation.stacks import RemainingLayers, leave_out, places, stacks_of, within
from heedful.errors import ConfigError


def encoder(layers=4):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 20, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def test_stacks_are_lists_of_modules_that_attend():
    names = [f"layers.{number}" for number in range(4)]
    assert stacks_of(encoder()) == {"layers": names}
    assert stacks_of(encoder(1)) == {}
    both = nn.Sequential(encoder(2), encoder(3))  # the outermost list counts
    assert stacks_of(both) == {"": ["0", "1"]}
    mixed = nn.ModuleList([nn.Linear(2, 2), encoder(2)])
    assert list(stacks_of(nn.Sequential(mixed, nn.ReLU()))) == ["0.1.layers"]


def test_what_is_left_computes_as_if_the_others_had_never_been():
    model = encoder()
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    changed = without_layers(model, ["layers.0", "layers.2"])
    with torch.no_grad():
        want = model.layers[3](model.layers[1](x))
        torch.testing.assert_close(changed(x), want)
        torch.testing.assert_close(
            Plan(dropped_layers=("layers.2", "layers.0")).apply(model)(x), want
        )
    assert [name for name, _ in changed.layers.named_children()] == ["1", "3"]
    assert len(model.layers) == 4


def test_by_number_they_are_found_in_their_order():
    model = encoder()
    leave_out(model, ["layers.0", "layers.2"])
    layers = model.layers
    assert isinstance(layers, RemainingLayers)
    assert len(layers) == 2
    assert layers[0] is layers[-2] is model.get_submodule("layers.1")
    assert [*layers[1:]] == [model.get_submodule("layers.3")]


def test_names_without_gaps():
    model = encoder(12)
    leave_out(model, ["layers.0", "layers.3"])
    place = places(model)
    names = ("layers.1", "layers.10.norm1.weight", "layers.2.self_attn", "norm.weight")
    assert [place(name) for name in names] == [
        *("layers.0", "layers.8.norm1.weight", "layers.1.self_attn", "norm.weight")
    ]
    assert within(["layers.1"], "layers.1.norm1")
    assert not within(["layers.1"], "layers.10")


def test_what_is_none_of_the_layers_is_refused():
    with pytest.raises(ConfigError, match=r"got 'layers\.9', .* its layers: layers\.0 \.\.\. lay"):
        leave_out(encoder(), ["layers.9"])
    with pytest.raises(ConfigError, match=r"got 'layers\.1', .* its layers: layers\.0 \.\.\. lay"):
        leave_out(encoder(), ["layers.1", "layers.1"])
    with pytest.raises(ConfigError, match=r"none of its layers: none$"):
        leave_out(nn.Linear(2, 2), ["layers.0"])
    with pytest.raises(ConfigError, match="a layer of layers must stay, got all of them left out"):
        leave_out(encoder(2), ["layers.0", "layers.1"])
