"""What masks of other libraries say is said by masks of ours, and by numbers to add."""

import pytest
import torch

from heedful.allocation.mask_and_bias import MaskAndBias, select_heads, split_mask
from heedful.errors import ConfigError
from heedful.mask import Mask

BEHIND = torch.arange(7) < torch.tensor([7, 4])[:, None]
HOLED = BEHIND & (torch.arange(7) != 2)


def additive(visible, other=0.0):
    return torch.zeros(visible.shape).masked_fill(~visible, -torch.inf) + other


def lowered(mask_and_bias, shape=(2, 3, 5, 7)):
    """The numbers that are added to the scores, all in all."""
    batch, heads, queries, keys = shape
    total = torch.zeros(shape)
    if mask_and_bias.mask is not None:
        sizes = {"dtype": torch.float32, "batch": batch, "heads": heads}
        mask = mask_and_bias.mask.to_additive(queries, keys, **sizes)
        total = total if mask is None else total + mask
    return total if mask_and_bias.bias is None else total + mask_and_bias.bias


def test_padding_behind_texts_becomes_lengths():
    want = Mask.lengths(torch.tensor([7, 4]))
    for mask in (BEHIND, additive(BEHIND)):
        assert split_mask(mask[:, None, None]) == MaskAndBias(want)


@pytest.mark.parametrize("numbers", [False, True], ids=["bool", "float"])
@pytest.mark.parametrize(
    "visible",
    [HOLED[:, None, None], torch.ones(5, 7).tril().bool(), HOLED[:, None, None].expand(2, 3, 5, 7)],
    ids=["holes", "pairs", "four axes"],
)
def test_what_only_hides_adds_nothing(visible, numbers):
    mask_and_bias = split_mask(additive(visible) if numbers else visible)
    assert mask_and_bias == MaskAndBias(Mask.dense(visible))
    assert not mask_and_bias.has_bias()


def test_numbers_are_added_and_minus_infinity_hides():
    numbers = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    mask = additive(torch.ones(5, 7).tril().bool(), numbers)
    mask_and_bias = split_mask(mask)
    assert mask_and_bias.has_bias()
    assert mask_and_bias.bias.isfinite().all()
    assert torch.equal(lowered(mask_and_bias), mask.expand(2, 3, 5, 7))


def test_a_mask_that_learns_keeps_its_numbers_though_they_are_0():
    mask = torch.zeros(5, 7, requires_grad=True)
    mask_and_bias = split_mask(mask)
    assert not mask_and_bias.has_bias()
    mask_and_bias.bias.sum().backward()
    assert torch.equal(mask.grad, torch.ones(5, 7))


@pytest.mark.parametrize("first", ["none", "bool", "float"])
@pytest.mark.parametrize("second", ["none", "bool", "float"])
def test_both_at_once(first, second):
    def make(kind, visible, seed):
        if kind == "none":
            return MaskAndBias(), torch.zeros(())
        numbers = torch.randn(visible.shape, generator=torch.Generator().manual_seed(seed))
        numbers = numbers if kind == "float" else torch.zeros(())
        mask = additive(visible, numbers)
        return split_mask(mask if kind == "float" else visible), mask

    one, added = make(first, torch.ones(5, 7).tril(2).bool(), 1)
    other, also = make(second, HOLED[:, None, None], 2)
    assert torch.equal(lowered(one & other), (added + also).expand(2, 3, 5, 7))


def test_rejects_whole_numbers():
    with pytest.raises(ConfigError, match=r"must be boolean or floating-point, got torch.int64"):
        split_mask(torch.zeros(5, 7, dtype=torch.int64))


@pytest.mark.parametrize(
    "heads, picked", [(4, [3, 1]), (1, [0]), (2, [0, 1])], ids=["original", "alike", "left"]
)
def test_masks_follow_the_heads_that_are_left(heads, picked):
    mask = torch.arange(heads * 2.0).reshape(2, heads, 1, 1)
    assert torch.equal(select_heads(mask, (3, 1), 4), mask[:, picked])
