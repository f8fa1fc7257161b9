"""What masks of other libraries say is said by masks of ours, and by numbers to add."""

import pytest
import torch

from heedful.allocation.hiding import Hiding, hidden_by, pick_heads
from heedful.errors import ConfigError
from heedful.mask import Mask

BEHIND = torch.arange(7) < torch.tensor([7, 4])[:, None]
HOLED = BEHIND & (torch.arange(7) != 2)


def additive(visible, other=0.0):
    return torch.zeros(visible.shape).masked_fill(~visible, -torch.inf) + other


def lowered(hiding, shape=(2, 3, 5, 7)):
    """The numbers that are added to the scores, all in all."""
    batch, heads, queries, keys = shape
    total = torch.zeros(shape)
    if hiding.mask is not None:
        sizes = {"dtype": torch.float32, "batch": batch, "heads": heads}
        mask = hiding.mask.to_additive(queries, keys, **sizes)
        total = total if mask is None else total + mask
    return total if hiding.added is None else total + hiding.added


def test_padding_behind_texts_becomes_lengths():
    want = Mask.lengths(torch.tensor([7, 4]))
    for mask in (BEHIND, additive(BEHIND)):
        assert hidden_by(mask[:, None, None]) == Hiding(want)


@pytest.mark.parametrize("numbers", [False, True], ids=["bool", "float"])
@pytest.mark.parametrize(
    "visible",
    [HOLED[:, None, None], torch.ones(5, 7).tril().bool(), HOLED[:, None, None].expand(2, 3, 5, 7)],
    ids=["holes", "pairs", "four axes"],
)
def test_what_only_hides_adds_nothing(visible, numbers):
    hiding = hidden_by(additive(visible) if numbers else visible)
    assert hiding == Hiding(Mask.dense(visible))
    assert not hiding.adds()


def test_numbers_are_added_and_minus_infinity_hides():
    numbers = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    mask = additive(torch.ones(5, 7).tril().bool(), numbers)
    hiding = hidden_by(mask)
    assert hiding.adds()
    assert hiding.added.isfinite().all()
    assert torch.equal(lowered(hiding), mask.expand(2, 3, 5, 7))


def test_a_mask_that_learns_keeps_its_numbers_though_they_are_0():
    mask = torch.zeros(5, 7, requires_grad=True)
    hiding = hidden_by(mask)
    assert not hiding.adds()
    hiding.added.sum().backward()
    assert torch.equal(mask.grad, torch.ones(5, 7))


@pytest.mark.parametrize("first", ["none", "bool", "float"])
@pytest.mark.parametrize("second", ["none", "bool", "float"])
def test_both_at_once(first, second):
    def make(kind, visible, seed):
        if kind == "none":
            return Hiding(), torch.zeros(())
        numbers = torch.randn(visible.shape, generator=torch.Generator().manual_seed(seed))
        numbers = numbers if kind == "float" else torch.zeros(())
        mask = additive(visible, numbers)
        return hidden_by(mask if kind == "float" else visible), mask

    one, added = make(first, torch.ones(5, 7).tril(2).bool(), 1)
    other, also = make(second, HOLED[:, None, None], 2)
    assert torch.equal(lowered(one & other), (added + also).expand(2, 3, 5, 7))


def test_rejects_whole_numbers():
    with pytest.raises(ConfigError, match=r"must be boolean or floating-point, got torch.int64"):
        hidden_by(torch.zeros(5, 7, dtype=torch.int64))


@pytest.mark.parametrize(
    "heads, picked", [(4, [3, 1]), (1, [0]), (2, [0, 1])], ids=["original", "alike", "left"]
)
def test_masks_follow_the_heads_that_are_left(heads, picked):
    mask = torch.arange(heads * 2.0).reshape(2, heads, 1, 1)
    assert torch.equal(pick_heads(mask, (3, 1), 4), mask[:, picked])
