"""Products with the weight of a layer are heard where the layer itself does not run."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from heedful.allocation.adapters.structure.layers import Around, first, is_layer, last, rows_of_bias
from heedful.errors import UnsupportedError

LAYER = nn.Linear(3, 5)
X = torch.ones(2, 3)


def heard(call, running=()):
    """What stood for what, what was added, and what came of it."""
    given, added = [], []

    def stand(path, x, output):
        given.append((path, x, output))
        return torch.zeros_like(output)

    with Around({"a": LAYER}, set(running), stand, lambda *bias: added.append(bias)):
        result = call()
    return given, added, result


def test_a_product_with_its_weight_is_that_of_the_layer():
    ((path, x, output),), added, result = heard(
        lambda: functional.linear(X, LAYER.weight, LAYER.bias)
    )
    assert (path, x, added) == ("a", X, [])
    assert torch.equal(output, LAYER(X))
    assert not result.any()


def test_a_bias_from_elsewhere_is_told_and_added():
    bias = torch.arange(5.0)
    _, added, result = heard(lambda: functional.linear(X, weight=LAYER.weight, bias=bias))
    assert added == [("a", bias)]
    assert torch.equal(result, bias.expand(2, 5))


def test_what_runs_itself_and_other_weights_are_left_alone():
    assert heard(lambda: LAYER(X), running=["a"])[:2] == ([], [])
    other = torch.ones(4, 3)
    given, _, result = heard(lambda: functional.linear(X, other))
    assert given == []
    assert torch.equal(result, torch.full((2, 4), 3.0))


def test_rows_of_each_number_are_found():
    one, other, third = (torch.ones(size, requires_grad=True) for size in (2, 3, 4))
    bias = torch.cat((other * 1, torch.zeros(4), one))
    rows = rows_of_bias("a", bias, {"one": one, "other": other, "third": third})
    assert {name: x.tolist() for name, x in rows.items()} == {"one": [7, 8], "other": [0, 1, 2]}
    assert rows_of_bias("a", torch.ones(3), {"one": one}) == {}


@pytest.mark.parametrize("change", [lambda x: 2 * x, lambda x: x.flip(0), lambda x: x.cumsum(0)])
def test_what_is_not_added_number_by_number_is_refused(change):
    one = torch.ones(3, requires_grad=True)
    with pytest.raises(UnsupportedError, match="its one is added to its a in a way that cannot"):
        rows_of_bias("a", change(one), {"one": one})


def test_what_is_a_layer():
    assert is_layer(LAYER)
    assert is_layer(nn.Conv2d(3, 5, 1))
    others = ({"stride": 2}, {"padding": 1}, {"groups": 3}, {"kernel_size": 3})
    for other in others:
        assert not is_layer(nn.Conv2d(3, 6, **{"kernel_size": 1} | other))


def test_components_of_images_come_last_and_go_back():
    layer, x = nn.Conv2d(3, 5, 1), torch.ones(2, 3, 4, 6)
    assert last(layer, x).shape == (2, 4, 6, 3)
    assert first(layer, last(layer, x)).shape == x.shape
    assert last(LAYER, x) is first(LAYER, x) is x
