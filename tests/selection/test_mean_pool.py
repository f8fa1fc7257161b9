"""The mean-pool estimate is what loops say, for every mask and length."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.selection import mean_pool_mass
from heedful.testing.masks import Sizes

BLOCK = 8


def expected(oracle, query, key, visible, scale=5**-0.5, block=BLOCK):
    query, key = query.double().numpy(), key.double().numpy()
    scores = oracle.mean_scores(query, key, block, scale)
    sizes = query.shape[2], key.shape[2]
    want = oracle.block_mass(scores, oracle.pooled(visible, block), *sizes, block, 1)
    return torch.from_numpy(want), abs(scores).max()


def test_is_what_loops_say(sizes, kind, dtype, oracle, make_tensors, make_mask):
    mask, visible = make_mask(kind, sizes)
    query, key = make_tensors(sizes, dtype)
    mass = mean_pool_mass(query, key, block=BLOCK, mask=mask)
    want, largest = expected(oracle, query, key, visible)
    assert mass.dtype == torch.float32
    band = 4 * torch.finfo(torch.float32).eps * max(1, largest)  # half precision is widened
    torch.testing.assert_close(mass.double(), want, rtol=0, atol=band)


def test_rows_sum_to_one_or_see_nothing(sizes, kind, oracle, make_tensors, make_mask):
    mask, visible = make_mask(kind, sizes)
    mass = mean_pool_mass(*make_tensors(sizes, torch.float32), block=BLOCK, mask=mask)
    seen = torch.from_numpy(oracle.pooled(visible, BLOCK)).any(-1)
    torch.testing.assert_close(mass.sum(-1), seen.float())


@pytest.mark.parametrize("block", [1, 3, 64])
def test_other_blocks_and_scales(block, oracle, make_tensors, make_mask):
    sizes = Sizes(batch=2, heads=6, kv_heads=3, queries=21, keys=29, dim=5)
    mask, visible = make_mask("causal", sizes)
    query, key = make_tensors(sizes)
    mass = mean_pool_mass(query, key, block=block, mask=mask, scale=-0.3)
    want, _ = expected(oracle, query, key, visible, -0.3, block)
    torch.testing.assert_close(mass, want.float())


@pytest.mark.parametrize("queries, keys", [(0, 7), (5, 0)])
def test_nothing_to_look_for_or_at(queries, keys):
    query, key = torch.ones(2, 4, queries, 3), torch.ones(2, 2, keys, 3)
    mass = mean_pool_mass(query, key, block=4, mask=Mask.causal())
    assert torch.equal(mass, torch.zeros(2, 4, -(-queries // 4), -(-keys // 4)))


def test_no_gradient_goes_through():
    query = torch.ones(1, 1, 8, 3, requires_grad=True)
    assert not mean_pool_mass(query, query, block=4).requires_grad


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"block": 0}, ConfigError, "block must be at least 1, got 0"),
        ({"key": torch.ones(2, 2, 7, 5)}, ShapeError, "query and key must have the same dim"),
        ({"key": torch.ones(2, 2, 7, 3).int()}, ConfigError, "key must be floating-point"),
        (
            {"mask": Mask.lengths(torch.tensor([1, 9]))},
            ConfigError,
            "lengths must not exceed keys, got 9 for keys=7",
        ),
    ],
)
def test_rejects(changes, error, message):
    call = {"query": torch.ones(2, 4, 5, 3), "key": torch.ones(2, 2, 7, 3), "block": 8} | changes
    query, key = call.pop("query"), call.pop("key")
    with pytest.raises(error, match=re.escape(message)):
        mean_pool_mass(query, key, **call)
