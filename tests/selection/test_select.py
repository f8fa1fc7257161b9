"""Selection finds what was planted, honours masks and leaves nobody empty."""

import re

import pytest
import torch

from heedful.bench.planted import planted
from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops import scaled_dot_attention
from heedful.selection import (
    always_kept,
    antidiagonal_mass,
    choose_blocks,
    mean_pool_mass,
    select_blocks,
)
from heedful.testing.masks import Sizes

METHODS = ["antidiagonal", "mean_pool"]
BLOCK = 8


def select(query, key, **changes):
    return select_blocks(query, key, **({"block": BLOCK, "stride": 4} | changes))


# ---- planted structure ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_finds_what_was_planted(method, dtype, causal):
    query, key, value, grid = planted(2048, heads=3, block=64, chosen=2, causal=causal)
    mask = Mask.causal() if causal else None
    chosen = select_blocks(
        query.to(dtype), key.to(dtype), block=64, coverage=0.98, method=method, mask=mask
    )
    assert (chosen >= grid).all()
    assert chosen.float().mean() <= 1 / 6
    listed = Mask.blocks(chosen, block=64)
    exact = scaled_dot_attention(query, key, value, mask=mask)
    sparse = scaled_dot_attention(query, key, value, mask=listed if mask is None else listed & mask)
    assert (sparse - exact).norm() <= 0.01 * exact.norm()


# ---- its parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_is_its_parts_together(method, sizes, make_tensors):
    query, key = make_tensors(sizes, torch.float32)
    if method == "antidiagonal":
        mass = antidiagonal_mass(query, key, block=BLOCK, stride=4, scale=0.7)
    else:
        mass = mean_pool_mass(query, key, block=BLOCK, scale=0.7)
    keep = always_kept(sizes.queries, sizes.keys, block=BLOCK, sinks=2, window=0)
    want = choose_blocks(mass, coverage=0.8, keep=keep)
    settings = {"coverage": 0.8, "sinks": 2, "window": 0, "scale": 0.7}
    assert torch.equal(select(query, key, method=method, **settings), want)


def test_defaults():
    generator = torch.Generator().manual_seed(5)
    query, key = (torch.randn(1, 2, 300, 8, generator=generator) * 3 for _ in range(2))
    settings = {"block": 128, "coverage": 0.95, "stride": 16, "sinks": 1, "window": 1}
    want = select_blocks(query, key, **settings, method="antidiagonal", scale=8**-0.5)
    assert torch.equal(select_blocks(query, key), want)


# ---- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.01, 0.9, 1.0])
def test_hidden_blocks_are_never_chosen_and_nobody_is_left_empty(
    method, coverage, sizes, kind, oracle, make_tensors, make_mask
):
    mask, visible = make_mask(kind, sizes)
    query, key = make_tensors(sizes, torch.float32)
    settings = {"method": method, "coverage": coverage, "mask": mask}
    seen = torch.from_numpy(oracle.pooled(visible, BLOCK))
    for sinks, window in ((0, 0), (1, 2)):
        grid = select(query, key, sinks=sinks, window=window, **settings)
        assert grid.shape == seen.shape
        assert not (grid & ~seen).any()
        assert torch.equal(grid.any(-1), seen.any(-1))
    if coverage == 1.0:
        assert torch.equal(grid, seen)


def test_kept_blocks_that_are_hidden_do_not_count():
    tensor = torch.zeros(1, 1, 32, 4)
    mask = Mask.lengths(torch.tensor([20])) & Mask.causal()
    grid = select(tensor, tensor, mask=mask, coverage=0.01, window=0)[0, 0].int().tolist()
    assert grid == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("queries, keys", [(0, 7), (5, 0)])
def test_nothing_to_look_for_or_at(method, queries, keys):
    query, key = torch.ones(2, 4, queries, 3), torch.ones(2, 2, keys, 3)
    grid = select(query, key, method=method, mask=Mask.causal())
    assert grid.shape == (2, 4, -(-queries // BLOCK), -(-keys // BLOCK))


def test_fits_the_mask_it_is_made_for(make_tensors):
    sizes = Sizes(batch=2, heads=6, kv_heads=3, queries=21, keys=29, dim=5)
    grid = select(*make_tensors(sizes))
    Mask.blocks(grid, block=BLOCK).check(21, 29, batch=2, heads=6)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            {"method": "mean"},
            ConfigError,
            "method must be 'antidiagonal' or 'mean_pool', got 'mean'",
        ),
        ({"block": 0, "method": "mean_pool"}, ConfigError, "block must be at least 1, got 0"),
        ({"block": 6}, ConfigError, "block must be a multiple of stride, got block=6, stride=4"),
        ({"coverage": 2.0}, ConfigError, "coverage must be above 0 and at most 1, got 2.0"),
        ({"sinks": -1}, ConfigError, "sinks must be at least 0, got -1"),
        ({"window": -2}, ConfigError, "window must be at least 0, got -2"),
        ({"key": torch.ones(2, 2, 7, 5)}, ShapeError, "query and key must have the same dim"),
        ({"query": torch.ones(2, 4, 5, 3).int()}, ConfigError, "query must be floating-point"),
        (
            {"mask": Mask.lengths(torch.tensor([1, 9]))},
            ConfigError,
            "lengths must not exceed keys, got 9 for keys=7",
        ),
    ],
)
def test_rejects(changes, error, message):
    call = {"query": torch.ones(2, 4, 5, 3), "key": torch.ones(2, 2, 7, 3)} | changes
    query, key = call.pop("query"), call.pop("key")
    with pytest.raises(error, match=re.escape(message)):
        select(query, key, **call)
