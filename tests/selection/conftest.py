"""Estimates of attention as float64 loops in numpy, which share no code with heedful.selection."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes


def pieces(length, width):
    """The positions of every cell."""
    return [range(start, min(start + width, length)) for start in range(0, length, width)]


def pooled(visible, width):
    """Which cells see each other: any of their pairs."""
    batch, heads, queries, keys = visible.shape
    rows, columns = pieces(queries, width), pieces(keys, width)
    table = np.zeros((batch, heads, len(rows), len(columns)), dtype=bool)
    for b, h, i, j in np.ndindex(table.shape):
        table[b, h, i, j] = any(visible[b, h, m, n] for m in rows[i] for n in columns[j])
    return table


def antidiagonal_scores(query, key, stride, scale):
    """The mean over pairs on the antidiagonal; a cell cut short repeats its positions."""
    rows, columns = pieces(query.shape[2], stride), pieces(key.shape[2], stride)
    group = query.shape[1] // key.shape[1]
    scores = np.zeros((*query.shape[:2], len(rows), len(columns)))
    for b, h, i, j in np.ndindex(scores.shape):
        for step in range(stride):
            m = rows[i][(stride - 1 - step) % len(rows[i])]
            n = columns[j][step % len(columns[j])]
            scores[b, h, i, j] += scale * (query[b, h, m] @ key[b, h // group, n]) / stride
    return scores


def mean_scores(query, key, block, scale):
    """The product of the mean query and the mean key."""
    rows, columns = pieces(query.shape[2], block), pieces(key.shape[2], block)
    group = query.shape[1] // key.shape[1]
    scores = np.zeros((*query.shape[:2], len(rows), len(columns)))
    for b, h, i, j in np.ndindex(scores.shape):
        mean_query = sum(query[b, h, m] for m in rows[i]) / len(rows[i])
        mean_key = sum(key[b, h // group, n] for n in columns[j]) / len(columns[j])
        scores[b, h, i, j] = scale * (mean_query @ mean_key)
    return scores


def block_mass(scores, visible, queries, keys, width, ratio):
    """Each row of cells is a softmax; a block has the mean over those of its queries that see."""
    sizes_of_rows = [len(cell) for cell in pieces(queries, width)]
    sizes = [len(cell) for cell in pieces(keys, width)]
    batch, heads, rows, columns = scores.shape
    mass = np.zeros((batch, heads, -(-rows // ratio), -(-columns // ratio)))
    seeing = np.zeros(mass.shape[:3])
    for b, h, i in np.ndindex(batch, heads, rows):
        seen = [j for j in range(columns) if visible[b, h, i, j]]
        if not seen:
            continue
        highest = max(scores[b, h, i, j] for j in seen)
        terms = {j: sizes[j] * np.exp(scores[b, h, i, j] - highest) for j in seen}
        for j in seen:
            share = terms[j] / sum(terms.values())
            mass[b, h, i // ratio, j // ratio] += sizes_of_rows[i] * share
        seeing[b, h, i // ratio] += sizes_of_rows[i]
    return mass / np.maximum(seeing, 1)[..., None]


# ---- tensors and masks ---------------------------------------------------------------------------

SIZES = {
    "cut_short": Sizes(batch=2, heads=6, kv_heads=3, queries=21, keys=29, dim=5),
    "more_queries": Sizes(batch=2, heads=2, kv_heads=1, queries=27, keys=10, dim=5),
    "whole": Sizes(batch=1, heads=2, kv_heads=2, queries=32, keys=32, dim=5),
    "one_query": Sizes(batch=1, heads=2, kv_heads=2, queries=1, keys=19, dim=5),
}
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
MORE = {
    "window_wide": lambda sizes: Mask.window(7, ahead=1),
    "window_many_sinks": lambda sizes: Mask.window(3, sinks=6),
    "two_bands": lambda sizes: Mask.causal() & Mask.anticausal("start"),  # apart if more queries
    "texts": lambda sizes: Mask.segments(
        torch.arange(sizes.queries).expand(sizes.batch, -1) // 7,
        torch.arange(sizes.keys).expand(sizes.batch, -1) // 7,
    ),
    "band_of_texts": lambda sizes: (
        Mask.anticausal() & Mask.lengths(torch.tensor([sizes.keys - 9, 4][: sizes.batch]))
    ),
}
# several parts that hide something each, so that Sight may say too much: test_sight.py has it
OF_SEVERAL_PARTS = ["either"]
KINDS = [kind for kind in (*MASKS, *MORE) if kind not in OF_SEVERAL_PARTS]


def tensors(sizes, dtype=torch.float64, seed=3):
    """Query and key, large enough that some cells get far more than others."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(sizes.batch, sizes.heads, sizes.queries, sizes.dim, generator=generator)
    key = torch.randn(sizes.batch, sizes.kv_heads, sizes.keys, sizes.dim, generator=generator)
    return (2 * query).to(dtype), key.to(dtype)


def make(kind, sizes):
    """The mask of a kind, and what it means pair by pair."""
    mask = MORE[kind](sizes) if kind in MORE else MASKS[kind](sizes)[0]
    shape = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    visible = None
    if mask is not None:
        visible = mask.to_bool(shape[2], shape[3], batch=shape[0], heads=shape[1])
    full = torch.ones(shape, dtype=torch.bool)
    return mask, (full if visible is None else visible.expand(shape)).numpy()


@pytest.fixture(scope="session")
def oracle():
    return SimpleNamespace(
        pieces=pieces,
        pooled=pooled,
        antidiagonal_scores=antidiagonal_scores,
        mean_scores=mean_scores,
        block_mass=block_mass,
    )


@pytest.fixture(scope="session")
def make_tensors():
    return tensors


@pytest.fixture(scope="session")
def make_mask():
    return make


@pytest.fixture(params=SIZES)
def sizes(request):
    return SIZES[request.param]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def dtype(request):
    """In turn: each meets each size and each kind."""
    drawn = request.node.callspec.params
    row, column = list(SIZES).index(drawn["sizes"]), KINDS.index(drawn["kind"])
    return DTYPES[(row + column) % len(DTYPES)]
