"""Every op refuses tensors that do not fit, with the same words."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.ops import OPS
from heedful.ops._shapes import check_qkv
from heedful.testing.claims import CLAIMS
from heedful.testing.masks import Sizes


def tensors(query=(2, 4, 5, 3), key=(2, 2, 7, 3), value=(2, 2, 7, 6)):
    return torch.zeros(query), torch.zeros(key), torch.zeros(value)


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"query": (2, 5, 3)},
            "query must be 4-D (batch, heads, length, dim), got a tensor of shape (2, 5, 3)",
        ),
        (
            {"key": (2, 7, 3)},
            "key must be 4-D (batch, heads, length, dim), got a tensor of shape (2, 7, 3)",
        ),
        (
            {"value": (7, 6)},
            "value must be 4-D (batch, heads, length, dim), got a tensor of shape (7, 6)",
        ),
        ({"key": (1, 2, 7, 3)}, "query and key must have the same batch size, got 2 and 1"),
        ({"value": (3, 2, 7, 6)}, "query and value must have the same batch size, got 2 and 3"),
        ({"key": (2, 3, 7, 3)}, "heads of key must divide heads of query, got kv_heads=3, heads=4"),
        ({"key": (2, 0, 7, 3)}, "heads of key must divide heads of query, got kv_heads=0, heads=4"),
        ({"key": (2, 2, 7, 8)}, "query and key must have the same dim, got 3 and 8"),
        ({"value": (2, 4, 7, 6)}, "key and value must have the same heads, got 2 and 4"),
        ({"value": (2, 2, 5, 6)}, "key and value must have the same length, got 7 and 5"),
    ],
)
def test_rejects_shapes_that_do_not_fit(changed, message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        check_qkv(*tensors(**changed))


@pytest.mark.parametrize("place, name", [(0, "query"), (1, "key"), (2, "value")])
def test_rejects_integers(place, name):
    given = list(tensors())
    given[place] = given[place].long()
    with pytest.raises(ConfigError, match=f"{name} must be floating-point, got torch.int64"):
        check_qkv(*given)


def test_dim_may_differ_where_asked():
    query, key, value = tensors(key=(2, 2, 7, 8))
    check_qkv(query, key, value, same_dim=False)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("function", ["attention", "weights"])
def test_every_op_rejects(name, function):
    claim = CLAIMS[name]
    tensors = claim.draw(claim.fit(Sizes()))
    tensors["key"] = tensors["key"][:1]
    call = claim.attend if function == "attention" else claim.weigh
    with pytest.raises(AssertionError, match="same batch size, got 2 and 1") as told:
        call(tensors, None)
    assert isinstance(told.value.__cause__, ShapeError)
