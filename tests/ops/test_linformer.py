"""Linformer attention keeps the contract and its promise, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops.linformer import linformer_attention, linformer_weights
from heedful.ops.scaled_dot import scaled_dot_attention
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import scaled_dot

KINDS = ["none", "full", "lengths", "empty_text", "nothing"]


class TestLinformer(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["linformer"]


def pooled(rank, sizes, generator):
    """Every slot is the mean of a segment of keys."""
    slot = torch.arange(sizes.keys) * rank // sizes.keys
    member = (slot == torch.arange(rank)[:, None]).double()
    projection = (member / member.sum(-1, keepdim=True).clamp(min=1))[None]
    return {"key_projection": projection, "value_projection": projection}


class TestPromise(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=linformer_attention,
            exact=scaled_dot,
            budgets=[4, 8, 16, 32],
            settings=pooled,
            full=lambda sizes: sizes.keys,
            smaller=64,
            masks=KINDS,
        )


def tensors(**changed):
    generator = torch.Generator().manual_seed(4)
    return {
        "query": torch.randn(2, 4, 5, 3, generator=generator),
        "key": torch.randn(2, 2, 7, 3, generator=generator),
        "value": torch.randn(2, 2, 7, 6, generator=generator),
        "key_projection": torch.randn(4, 8, 9, generator=generator),
        "value_projection": torch.randn(1, 8, 9, generator=generator),
    } | changed


@pytest.mark.parametrize("lengths", [(5, 7), (1, 0)])
def test_padding_cannot_matter(lengths):
    given = tensors()
    whole = linformer_attention(**given, mask=Mask.lengths(torch.tensor(lengths)))
    for b, length in enumerate(lengths):
        alone = given | {
            "query": given["query"][b : b + 1],
            "key": given["key"][b : b + 1, :, :length],
            "value": given["value"][b : b + 1, :, :length],
        }
        torch.testing.assert_close(whole[b : b + 1], linformer_attention(**alone))


def test_padding_cannot_matter_where_it_fills_whole_slots():
    given = tensors(key_projection=torch.eye(9)[None], value_projection=torch.eye(9)[None])
    mask = Mask.lengths(torch.tensor([5, 3]))
    exact = [given[name] for name in ("query", "key", "value")]
    want = scaled_dot_attention(
        exact[0], *(x.repeat_interleave(2, 1) for x in exact[1:]), mask=mask
    )
    torch.testing.assert_close(linformer_attention(**given, mask=mask), want)


def test_one_projection_for_all_heads_is_one_each():
    given = tensors()
    each = given | {"value_projection": given["value_projection"].expand(4, -1, -1)}
    torch.testing.assert_close(linformer_attention(**given), linformer_attention(**each))


def test_scale_is_a_factor_of_the_query():
    given = tensors()
    want = linformer_attention(**given | {"query": given["query"] * 2 * 3**0.5})
    torch.testing.assert_close(linformer_attention(**given, scale=2.0), want)


def test_infinite_hidden_keys_cannot_matter():
    given = tensors()
    mask = Mask.lengths(torch.tensor([5, 5]))
    want = linformer_attention(**given, mask=mask)
    for name in ("key", "value"):
        given[name] = given[name].clone()
        given[name][:, :, 5:] = float("nan")
    assert torch.equal(linformer_attention(**given, mask=mask), want)


@pytest.mark.parametrize(
    "changed, error, message",
    [
        (
            {"key_projection": torch.ones(3, 8, 9)},
            ShapeError,
            "key_projection must have shape (1 or heads=4, rank, max_keys), got (3, 8, 9)",
        ),
        (
            {"value_projection": torch.ones(8, 9)},
            ShapeError,
            "value_projection must have shape (1 or heads=4, rank, max_keys), got (8, 9)",
        ),
        (
            {"value_projection": torch.ones(4, 8, 6)},
            ShapeError,
            "value_projection must have a column per key, got 6 for 7",
        ),
        (
            {"value_projection": torch.ones(4, 5, 9)},
            ShapeError,
            "key_projection and value_projection must have the same rank, got 8 and 5",
        ),
        (
            {"key_projection": torch.ones(4, 8, 9, dtype=torch.int64)},
            ConfigError,
            "key_projection must be floating-point, got torch.int64",
        ),
        ({"query": torch.ones(2, 4, 5, 2)}, ShapeError, "query and key must have the same dim"),
        (
            {"mask": Mask.causal()},
            UnsupportedError,
            "mask must show every query the same keys because Linformer mixes the keys before a "
            "query sees them, got Mask.causal",
        ),
        ({"mask": Mask.window(2)}, UnsupportedError, "mask must show every query the same keys"),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    given = tensors(**changed)
    with pytest.raises(error, match=re.escape(message)):
        linformer_attention(**given)
    del given["value"]
    with pytest.raises(error, match=re.escape(message)):
        linformer_weights(**given)
