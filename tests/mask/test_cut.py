"""A part of a text has the mask that it has there, on every lowering."""

import itertools
import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes

SIZES = Sizes(queries=9, keys=11)
WHOLE = (SIZES.heads, SIZES.queries, SIZES.keys)
PARTS = [
    (range(4), range(9), range(11)),
    (range(1, 3), range(2, 7), range(4, 11)),
    (range(3, 4), range(6, 9), range(3)),
    (range(2), range(3, 6), range(6, 9)),  # where blocks of three begin
    (range(4), range(8, 9), range(10, 11)),
]


def table(mask):
    shape = (SIZES.batch, *WHOLE)
    visible = mask.to_bool(SIZES.queries, SIZES.keys, batch=SIZES.batch, heads=SIZES.heads)
    return torch.ones(shape, dtype=torch.bool) if visible is None else visible.expand(shape)


def part_of(tensor, part):
    return tensor[:, *(slice(each.start, each.stop) for each in part)]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", [kind for kind in MASKS if kind != "none"])
def test_a_part_has_the_mask_that_it_has_in_the_whole(kind, part):
    mask, _ = MASKS[kind](SIZES)
    heads, queries, keys = part
    want = part_of(table(mask), part)
    cut = mask.cut(heads=heads, queries=queries, keys=keys, whole=WHOLE)
    sizes = {"batch": SIZES.batch, "heads": len(heads)}
    dense = cut.to_bool(len(queries), len(keys), **sizes)
    assert torch.equal(torch.ones_like(want) if dense is None else dense.expand(want.shape), want)
    pattern = cut.pattern(len(queries), len(keys), **sizes)
    seen = pattern.visible(len(queries), len(keys), torch.device("cpu"))
    assert torch.equal(torch.ones_like(want) if seen is None else seen.expand(want.shape), want)
    if pattern.hides_all(len(queries), len(keys)):
        assert not want.any()


@pytest.mark.parametrize("kind", ["causal", "window_sinks", "lengths", "blocks", "segments"])
def test_what_kernels_skip_in_the_whole_they_skip_in_a_part(kind):
    mask, _ = MASKS[kind](SIZES)
    cut = mask.cut(heads=range(4), queries=range(3, 6), keys=range(6, 9), whole=WHOLE)
    assert cut.pattern(3, 3, batch=2, heads=4).dense is None


@pytest.mark.parametrize(
    "mask, hides",
    [
        (Mask.causal(), lambda i, j: j > i),
        (Mask.anticausal(), lambda i, j: j < i),
        (Mask.window(2), lambda i, j: j > i or j < i - 1),
        (Mask.lengths(torch.tensor([0])), lambda i, j: True),
        (Mask.full(), lambda i, j: False),
    ],
)
def test_a_part_that_sees_nothing_says_so(mask, hides):
    cells = [range(3 * i, 3 * i + 3) for i in range(4)]
    for i, j in itertools.product(range(4), range(4)):
        cut = mask.cut(heads=range(1), queries=cells[i], keys=cells[j], whole=(1, 12, 12))
        assert cut.pattern(3, 3, batch=1, heads=1).hides_all(3, 3) is hides(i, j), (i, j)


def test_sinks_are_seen_far_behind_a_window():
    mask = Mask.window(2, sinks=1)
    near, far = (
        mask.cut(heads=range(1), queries=range(9, 12), keys=keys, whole=(1, 12, 12))
        for keys in (range(3), range(3, 6))
    )
    assert not near.pattern(3, 3, batch=1, heads=1).hides_all(3, 3)
    assert far.pattern(3, 3, batch=1, heads=1).hides_all(3, 3)


def test_a_part_is_a_mask_as_any_other():
    mask = Mask.lengths(torch.tensor([2, 5]))
    part = {"heads": range(1), "queries": range(2), "keys": range(1, 5), "whole": (1, 4, 6)}
    cut = mask.cut(**part)
    assert cut == mask.cut(**part) != mask.cut(**part | {"keys": range(4)})
    assert hash(cut) == hash(mask.cut(**part))
    assert torch.equal(
        cut.select(torch.tensor([1])).to_bool(2, 4, batch=1),
        mask.select(torch.tensor([1])).cut(**part).to_bool(2, 4, batch=1),
    )
    assert cut.to("cpu") == cut
    assert repr(cut) == "(Mask.lengths([2, 5])).cut(first=(0, 0, 1), whole=(1, 4, 6))"
    assert Mask.full().cut(**part) is Mask.full()


@pytest.mark.parametrize(
    "sizes, message",
    [
        ((2, 4, 1), "a cut must lie within 6 keys, got 3 to 7"),
        ((3, 3, 1), "a cut must lie within 4 queries, got 2 to 5"),
        ((2, 3, 2), "a cut must lie within 1 heads, got 0 to 2"),
    ],
)
def test_a_part_lies_in_the_whole(sizes, message):
    queries, keys, heads = sizes
    cut = Mask.causal().cut(
        heads=range(heads), queries=range(2, 4), keys=range(3, 6), whole=(1, 4, 6)
    )
    for lower in (cut.to_bool, cut.pattern):
        with pytest.raises(ShapeError, match=re.escape(message)):
            lower(queries, keys, batch=1, heads=heads)
