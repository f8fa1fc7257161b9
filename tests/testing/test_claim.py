"""A claim draws what it says, calls with what it says, and reports refusals."""

import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.testing import oracle
from heedful.testing.claim import Claim, NotClaimed, Refused, words
from heedful.testing.masks import MASKS, Sizes


def attention(query, key, value, *, mask, **extras):
    return value


def claim(**changed):
    return Claim(**{"attention": attention, "oracle": oracle.dot, **changed})


@pytest.mark.parametrize(
    "changed, sizes",
    [
        ({}, Sizes(kv_heads=2)),
        ({"one_query": True}, Sizes(kv_heads=2, queries=1)),
        ({"square": True}, Sizes(kv_heads=2, queries=7)),
        ({"grouped": False}, Sizes()),
        ({"even": True}, Sizes(kv_heads=2, dim=4)),
        ({"same_dims": True}, Sizes(kv_heads=2, value_dim=3)),
        ({"even": True, "same_dims": True}, Sizes(kv_heads=2, dim=4, value_dim=4)),
    ],
)
def test_fits_sizes_to_what_the_function_takes(changed, sizes):
    assert claim(**changed).fit(Sizes(kv_heads=2)) == sizes


def test_draws_extras_of_their_axes_and_domain():
    made = claim(
        extras={"weight": "heads rank dim", "kernel": "filters 1 3"},
        sizes={"rank": 9, "filters": 2},
        domains={"kernel": lambda x: x.abs()},
        key_dim="rank",
    )
    tensors = made.draw(Sizes(), torch.float16)
    shapes = {name: tuple(x.shape) for name, x in tensors.items()}
    assert shapes == {
        "query": (2, 4, 5, 3),
        "key": (2, 4, 7, 9),
        "value": (2, 4, 7, 6),
        "weight": (4, 9, 3),
        "kernel": (2, 1, 3),
    }
    assert tensors["kernel"].min() >= 0
    assert tensors["weight"].min() < 0
    assert {x.dtype for x in tensors.values()} == {torch.float16}
    again = made.draw(Sizes(), torch.float16)
    assert all(torch.equal(x, again[name]) for name, x in tensors.items())


def test_permutes_the_tensors_that_have_the_axis():
    made = claim(extras={"bias": "heads keys"})
    tensors = made.draw(Sizes())
    order = torch.tensor([6, 5, 4, 3, 2, 1, 0])
    turned = made.permute(tensors, "keys", order)
    assert torch.equal(turned["bias"], tensors["bias"].flip(1))
    assert torch.equal(turned["value"], tensors["value"].flip(2))
    assert torch.equal(turned["query"], tensors["query"])


def test_takes_every_mask_unless_it_says_otherwise():
    assert set(claim().masks) == set(MASKS)


def test_a_refusal_keeps_its_cause():
    def refuses(query, key, value, *, mask):
        raise UnsupportedError("not this\nnor that")

    with pytest.raises(Refused, match=r"^UnsupportedError: not this$") as refusal:
        claim(attention=refuses).attend(claim().draw(Sizes()), None)
    assert isinstance(refusal.value.__cause__, UnsupportedError)
    assert words(KeyError()) == "KeyError"


def test_without_weights_there_is_nothing_to_weigh():
    with pytest.raises(NotClaimed, match="it does not return weights"):
        claim().weigh(claim().draw(Sizes()), None)


def test_weights_are_asked_without_values_and_with_settings():
    def weights(query, key, *, mask, scale):
        return query * scale

    made = claim(weights=weights, settings={"scale": 2.0})
    tensors = made.draw(Sizes())
    assert torch.equal(made.weigh(tensors, None), tensors["query"] * 2)


def test_counts_roundings_of_all_sums():
    made = claim(sizes={"rank": 9}, steps=(5,))
    assert made.limit(Sizes(), torch.float32) == 4 + 2 * (9 + 5 + 3 + 7 + 7)
    assert made.limit(Sizes(), torch.bfloat16) == 4
