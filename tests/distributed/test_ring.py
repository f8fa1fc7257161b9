"""Ring attention is attention: each process's part of one answer, and of one gradient."""

import inspect
import itertools
import re

import pytest
import torch

from heedful.distributed import ring_attend
from heedful.distributed.ring import _laid_out
from heedful.distributed.zigzag import cells
from heedful.errors import ConfigError, ShapeError
from heedful.kernels.attend import attend
from heedful.mask import Mask
from heedful.testing import oracle
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings

SIZES = Sizes(kv_heads=2, queries=9, keys=11)
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


def draw(sizes, dtype):
    """Query, key, value, and a gradient of the output: the same in every process."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(sizes.heads, sizes.queries, sizes.dim), (sizes.kv_heads, sizes.keys, sizes.dim)]
    shapes += [(sizes.kv_heads, sizes.keys, sizes.value_dim)]
    shapes += [(sizes.heads, sizes.queries, sizes.value_dim)]
    drawn = [torch.randn(sizes.batch, *shape, generator=generator) for shape in shapes]
    return [x.to(dtype) for x in drawn]


DRAW = f"""
from heedful.distributed import places, ring_attend, shard
from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes

{inspect.getsource(draw)}
"""
CODE = (
    DRAW
    + """
def note(name, sizes, dtype, mask, spoil=None):
    *tensors, by_output = draw(sizes, dtype)
    if spoil is not None:
        spoil(tensors)
    parts = [shard(x, dim=2).requires_grad_() for x in tensors]
    output = ring_attend(*parts, mask=mask)
    found[f"{name} output"] = output
    gradients = torch.autograd.grad(output, parts, shard(by_output, dim=2))
    for which, gradient in zip(("query", "key", "value"), gradients):
        found[f"{name} {which}"] = gradient

from heedful.distributed import ring
ring.QUERIES, ring.KEYS = 2, 1  # as if cells were long
sizes = Sizes(kv_heads=2, queries=9, keys=11)
for kind, make in MASKS.items():
    note(kind, sizes, torch.float32, make(sizes)[0])
for name in ("float64", "bfloat16"):
    note(name, sizes, getattr(torch, name), MASKS["both"](sizes)[0])
note("short", Sizes(kv_heads=1, queries=2, keys=3), torch.float32, None)

def spoil(tensors):  # in the padding of the first text
    tensors[1][0, :, -2:], tensors[2][0, :, -1:] = float("nan"), float("inf")

note("spoilt", sizes, torch.float32, MASKS["lengths"](sizes)[0], spoil)
with torch.autocast("cpu", dtype=torch.bfloat16):
    found["autocast"] = ring_attend(*(shard(x, dim=2) for x in draw(sizes, torch.float32)[:3]))
"""
)


@pytest.fixture(scope="module", params=[2, 3])
def said(in_processes, request):
    return in_processes(CODE, request.param)


def together(said, name):
    """What all processes hold of one tensor."""
    parts = [found[name] for found in said]
    length = sum(part.shape[2] for part in parts)
    whole = parts[0].new_empty(*parts[0].shape[:2], length, parts[0].shape[3])
    for rank, part in enumerate(parts):
        own = [i for cell in cells(length, rank, len(said)) for i in cell]
        whole[:, :, own] = part
    return whole


def check(said, name, sizes, dtype, kind):
    """Output by the loops of the oracle, gradients by plain operations, both in float64."""
    *tensors, by_output = (x.double() for x in draw(sizes, dtype))
    _, sees = MASKS[kind](sizes)
    _, want = oracle.scaled_dot(*(x.numpy() for x in tensors), sees)
    leaves = [x.requires_grad_() for x in tensors]
    shape = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    seen = torch.zeros(shape, dtype=torch.bool)
    for place in itertools.product(*map(range, shape)):
        seen[place] = sees(*place)
    shared = sizes.heads // sizes.kv_heads
    query, key, value = leaves[0], *(x.repeat_interleave(shared, 1) for x in leaves[1:])
    scores = (query @ key.mT / sizes.dim**0.5).masked_fill(~seen, -1e30)
    plain = (scores.softmax(-1) * seen) @ value
    gradients = torch.autograd.grad(plain, leaves, by_output)
    count = 4 * roundings(dtype, sizes.dim, sizes.keys, sizes.queries)
    output = together(said, f"{name} output")
    assert_close(output, torch.from_numpy(want), roundings=count, largest=5.0)
    for which, gradient in zip(("query", "key", "value"), gradients, strict=True):
        assert_close(together(said, f"{name} {which}"), gradient, roundings=count, largest=10.0)


@pytest.mark.parametrize("kind", MASKS)
def test_is_attention_of_the_whole_text(said, kind):
    check(said, kind, SIZES, torch.float32, kind)


@pytest.mark.parametrize("name", ["float64", "bfloat16"])
def test_whatever_the_precision(said, name):
    assert {x.dtype for key, x in said[0].items() if key.startswith(name)} == {DTYPES[name]}
    check(said, name, SIZES, DTYPES[name], "both")


def test_a_text_of_fewer_tokens_than_cells(said):
    check(said, "short", Sizes(kv_heads=1, queries=2, keys=3), torch.float32, "none")


def test_what_stands_in_padding_changes_nothing(said):
    for which in ("output", "query", "key", "value"):
        assert torch.equal(together(said, f"spoilt {which}"), together(said, f"lengths {which}"))


def test_autocast_decides_the_precision(said):
    assert said[0]["autocast"].dtype == torch.bfloat16


WRONG = (
    DRAW
    + """
from heedful.errors import HeedfulError
sizes = Sizes(kv_heads=2, queries=9, keys=11)
q, k, v = (shard(x, dim=2) for x in draw(sizes, torch.float32)[:3])
short = Mask.lengths(torch.tensor([3]))
calls = [
    lambda: ring_attend(q if rank else q.double(), k, v),
    lambda: ring_attend(q, k if rank else k[:, :, 1:], v if rank else v[:, :, 1:]),
    lambda: ring_attend(q[:1], k[:1], v[:1]) if rank else ring_attend(q, k, v),
    lambda: ring_attend(q, k, v, mask=short),
    lambda: ring_attend(q, k, v, mask=None if rank else Mask.causal()),
    lambda: ring_attend(q, k, v, mask=q if rank else None),
]
for number, call in enumerate(calls):
    try:
        call()
    except HeedfulError as error:
        found[str(number)] = torch.tensor([*f"{type(error).__name__}: {error}".encode()])
"""
)


def test_what_does_not_fit_is_noticed_by_all(in_processes):
    said = [
        {int(key): bytes(text.tolist()).decode() for key, text in found.items()}
        for found in in_processes(WRONG, 2)
    ]
    alike = "ShapeError: all processes must have the same "
    other = "ShapeError: every process must give what fits, got an error in process "
    wanted = {
        0: ("UnsupportedError: query, key and value must have one dtype, got ", f"{other}0"),
        1: ("ShapeError: keys must have [5, 5] positions in the 2 processes",) * 2,
        2: (f"{alike}batch, got 2 in process 0 and 1 in 1",) * 2,
        3: ("ShapeError: lengths must have one entry per batch row, got 1 for batch=2",) * 2,
        4: (f"{alike}mask, got a mask in process 0 and none in 1",) * 2,
        5: (f"{other}1", "ConfigError: mask must be a heedful.Mask, got Tensor"),
    }
    for number, texts in wanted.items():
        for found, text in zip(said, texts, strict=True):
            assert found[number].startswith(text), found[number]


def test_alone_it_is_attention(alone):
    tensors = [x.float() for x in draw(SIZES, torch.float32)[:3]]
    mask = Mask.lengths(torch.tensor([4, 7]))
    assert torch.equal(ring_attend(*tensors, mask=mask), attend(*tensors, mask=mask))
    with pytest.raises(ShapeError, match="query must be 4-D"):
        ring_attend(tensors[0][0], *tensors[1:])


def test_without_a_group_nothing_begins():
    tensors = draw(SIZES, torch.float32)[:3]
    with pytest.raises(ConfigError, match=re.escape("a process group must be there, got none")):
        ring_attend(*tensors)


def test_long_cells_are_taken_some_at_a_time():
    cells_of_it = range(2, 7), range(20, 23)
    assert [*_laid_out(cells_of_it, most=2)] == [
        (range(2, 4), slice(0, 2)),
        (range(4, 6), slice(2, 4)),
        (range(6, 7), slice(4, 5)),
        (range(20, 22), slice(5, 7)),
        (range(22, 23), slice(7, 8)),
    ]
