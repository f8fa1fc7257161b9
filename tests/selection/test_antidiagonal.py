"""The antidiagonal estimate is what loops say, for every mask and length, in chunks or at once."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.selection import _mass, antidiagonal_mass
from heedful.testing.masks import Sizes

STRIDE, BLOCK = 4, 8


def expected(oracle, query, key, visible, scale=5**-0.5, stride=STRIDE, block=BLOCK):
    query, key = query.double().numpy(), key.double().numpy()
    scores = oracle.antidiagonal_scores(query, key, stride, scale)
    seen = oracle.pooled(visible, stride)
    sizes = query.shape[2], key.shape[2]
    want = oracle.block_mass(scores, seen, *sizes, stride, block // stride)
    return torch.from_numpy(want), abs(scores).max()


def test_is_what_loops_say(sizes, kind, dtype, oracle, make_tensors, make_mask):
    mask, visible = make_mask(kind, sizes)
    query, key = make_tensors(sizes, dtype)
    mass = antidiagonal_mass(query, key, block=BLOCK, stride=STRIDE, mask=mask)
    want, largest = expected(oracle, query, key, visible)
    assert mass.dtype == torch.float32
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    torch.testing.assert_close(mass.double(), want, rtol=0, atol=4 * eps * max(1, largest))


def test_rows_sum_to_one_or_see_nothing(sizes, kind, oracle, make_tensors, make_mask):
    mask, visible = make_mask(kind, sizes)
    query, key = make_tensors(sizes, torch.float32)
    mass = antidiagonal_mass(query, key, block=BLOCK, stride=STRIDE, mask=mask)
    seen = torch.from_numpy(oracle.pooled(visible, BLOCK)).any(-1)
    torch.testing.assert_close(mass.sum(-1), seen.float())
    assert (mass >= 0).all()


@pytest.mark.parametrize("stride, block", [(1, 1), (1, 3), (2, 6), (5, 5), (64, 64)])
def test_other_strides_and_scales(stride, block, oracle, make_tensors, make_mask):
    sizes = Sizes(batch=2, heads=6, kv_heads=3, queries=21, keys=29, dim=5)
    mask, visible = make_mask("causal", sizes)
    query, key = make_tensors(sizes)
    mass = antidiagonal_mass(query, key, block=block, stride=stride, mask=mask, scale=-0.3)
    want, _ = expected(oracle, query, key, visible, -0.3, stride, block)
    torch.testing.assert_close(mass, want.float())


def test_stride_one_is_the_attention_itself(make_tensors):
    sizes = Sizes(batch=2, heads=6, kv_heads=6, queries=24, keys=32, dim=5)
    query, key = make_tensors(sizes)
    weights = (query @ key.mT / 5**0.5).softmax(-1)
    want = weights.unflatten(3, (4, 8)).sum(4).unflatten(2, (3, 8)).mean(3)
    mass = antidiagonal_mass(query, key, block=8, stride=1)
    torch.testing.assert_close(mass, want.float())


def test_chunks_change_nothing_and_stay_small(sizes, kind, make_tensors, make_mask, monkeypatch):
    mask, _ = make_mask(kind, sizes)
    query, key = make_tensors(sizes, torch.float32)
    whole = antidiagonal_mass(query, key, block=BLOCK, stride=STRIDE, mask=mask)
    held, scores = [], _mass._scores

    def listen(*arguments):
        result = scores(*arguments)
        held.append(result.numel())
        return result

    row = query.shape[0] * query.shape[1] * -(-key.shape[2] // STRIDE)
    monkeypatch.setattr(_mass, "_scores", listen)
    monkeypatch.setattr(_mass, "AT_ONCE", 3 * row)
    chunked = antidiagonal_mass(query, key, block=BLOCK, stride=STRIDE, mask=mask)
    torch.testing.assert_close(chunked, whole)
    assert max(held, default=0) <= 3 * row


def test_causal_computes_little_more_than_half(monkeypatch):
    tensor = torch.ones(1, 1, 8192, 2)
    held, scores = [], _mass._scores

    def listen(*arguments):
        result = scores(*arguments)
        held.append(result.numel())
        return result

    monkeypatch.setattr(_mass, "_scores", listen)
    antidiagonal_mass(tensor, tensor, block=128, mask=Mask.causal())
    assert sum(held) <= 0.63 * 512 * 512
    held.clear()
    antidiagonal_mass(tensor, tensor, block=128, mask=Mask.window(1024))
    assert sum(held) <= 0.4 * 512 * 512


def test_hidden_cells_cannot_matter(make_tensors):
    sizes = Sizes(batch=2, heads=6, kv_heads=3, queries=21, keys=29, dim=5)
    query, key = make_tensors(sizes, torch.float32)
    mask = Mask.lengths(torch.tensor([16, 24]))
    want = antidiagonal_mass(query, key, block=BLOCK, stride=STRIDE, mask=mask)
    key[0, :, 16:], key[1, :, 24:] = float("nan"), float("inf")
    mass = antidiagonal_mass(query, key, block=BLOCK, stride=STRIDE, mask=mask)
    assert torch.equal(mass, want)


@pytest.mark.parametrize("queries, keys", [(0, 7), (5, 0), (0, 0)])
def test_nothing_to_look_for_or_at(queries, keys):
    query, key = torch.ones(2, 4, queries, 3), torch.ones(2, 2, keys, 3)
    mass = antidiagonal_mass(query, key, block=4, stride=2, mask=Mask.causal())
    assert torch.equal(mass, torch.zeros(2, 4, -(-queries // 4), -(-keys // 4)))


def test_no_gradient_goes_through():
    query = torch.ones(1, 1, 8, 3, requires_grad=True)
    assert not antidiagonal_mass(query, query, block=4, stride=2).requires_grad


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"stride": 0}, ConfigError, "stride must be at least 1, got 0"),
        ({"block": 0}, ConfigError, "block must be a multiple of stride, got block=0, stride=4"),
        ({"block": 6}, ConfigError, "block must be a multiple of stride, got block=6, stride=4"),
        (
            {"query": torch.ones(4, 7, 3)},
            ShapeError,
            "query must be 4-D (batch, heads, length, dim), got a tensor of shape (4, 7, 3)",
        ),
        (
            {"key": torch.ones(2, 4, 7, 3).long()},
            ConfigError,
            "key must be floating-point, got torch.int64",
        ),
        (
            {"key": torch.ones(1, 2, 7, 3)},
            ShapeError,
            "query and key must have the same batch size, got 2 and 1",
        ),
        (
            {"key": torch.ones(2, 3, 7, 3)},
            ShapeError,
            "heads of key must divide heads of query, got kv_heads=3, heads=4",
        ),
        (
            {"key": torch.ones(2, 2, 7, 5)},
            ShapeError,
            "query and key must have the same dim, got 3 and 5",
        ),
        (
            {"mask": Mask.lengths(torch.tensor([1, 2, 3]))},
            ShapeError,
            "lengths must have one entry per batch row, got 3 for batch=2",
        ),
        (
            {"mask": Mask.lengths(torch.tensor([1, 9]))},
            ConfigError,
            "lengths must not exceed keys, got 9 for keys=7",
        ),
    ],
)
def test_rejects(changes, error, message):
    call = {"query": torch.ones(2, 4, 5, 3), "key": torch.ones(2, 2, 7, 3)}
    call |= {"block": 8, "stride": 4} | changes
    query, key = call.pop("query"), call.pop("key")
    with pytest.raises(error, match=re.escape(message)):
        antidiagonal_mass(query, key, **call)
