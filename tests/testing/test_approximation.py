"""The contract of approximations sees the faults that it is for, each by the test named there."""

from dataclasses import replace

import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.ops import scaled_dot_attention
from heedful.testing import oracle
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.masks import MASKS, Sizes


def near(query, key, value, *, mask, reach):
    """Attend to the `reach` keys that begin where the query stands; the first follows the last."""
    batch, heads, queries, dim = query.shape
    keys = key.shape[2]
    reach = min(reach, keys)
    if heads != key.shape[1]:
        key, value = (x.repeat_interleave(heads // key.shape[1], dim=1) for x in (key, value))
    place = torch.arange(queries)[:, None]
    where = (place + torch.arange(reach)) % keys
    scores = (query[:, :, :, None] * key[:, :, where]).sum(-1) / dim**0.5
    if mask is not None:
        row, head = torch.arange(batch)[:, None, None, None], torch.arange(heads)[:, None, None]
        seen = mask.at(row, head, place, where, queries=queries, keys=keys)
        scores = scores.masked_fill(~seen, -1e30)
        weights = scores.softmax(-1).masked_fill(~seen, 0)
    else:
        weights = scores.softmax(-1)
    return (weights[..., None] * value[:, :, where]).sum(-2)


GOOD = Approximation(
    attention=near,
    exact=oracle.scaled_dot,
    budgets=[2, 8, 32],
    settings=lambda reach, sizes, generator: {"reach": reach},
    full=lambda sizes: sizes.keys,
    smaller=32,
)


class TestGood(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return GOOD


class TestWithoutExact(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return replace(GOOD, exact=None, masks=["none"])


class TestNeverExact(ApproximationContract):
    """An approximation of another scale, by no budget the same, with a mask of its own."""

    @pytest.fixture
    def approximation(self):
        def attention(query, key, value, *, mask, reach):
            if mask is not None:
                raise UnsupportedError("mask must be None")
            return near(query * 1.01, key, value, mask=None, reach=reach)

        full = "its queries are longer"
        return replace(GOOD, attention=attention, full=full, masks=["none"], grouped=False)


class TestQuadratic(ApproximationContract):
    """All scores, as the exact function has them; better with less noise."""

    @pytest.fixture
    def approximation(self):
        def attention(query, key, value, *, mask, noise):
            scores = (query + noise) @ key.mT / query.shape[3] ** 0.5
            return scores.softmax(-1) @ value

        return Approximation(
            attention=attention,
            exact=oracle.scaled_dot,
            budgets=[1, 2, 4],
            settings=lambda budget, sizes, generator: {
                "noise": torch.randn(sizes.dim, generator=generator, dtype=torch.float64) / budget
            },
            full="there is always noise",
            growth="quadratic",
            masks=["none"],
            square=True,
            draw=lambda sizes, generator: {
                name: torch.rand(1, 1, sizes.keys, sizes.dim, generator=generator).double()
                for name in ("query", "key", "value")
            },
            sizes=Sizes(batch=1, heads=1, kv_heads=1, queries=16, keys=16),
        )


class TestResidue(ApproximationContract):
    """Wrong by a known share of the largest value."""

    @pytest.fixture
    def approximation(self):
        def attention(query, key, value, *, mask, reach):
            exact = near(query, key, value, mask=mask, reach=reach)
            return exact + 1e-3 * value.abs().max()

        def residue(tensors, sees):
            return 1e-3

        return replace(GOOD, attention=attention, masks=["none"], residue=residue)


# ---- planted faults ------------------------------------------------------------------------------


def ignores_its_budget(query, key, value, *, mask, reach):
    return near(query, key, value, mask=mask, reach=key.shape[2] if reach == 7 else 4)


def is_worse_when_paid_more(query, key, value, *, mask, reach):
    return near(query, key, value, mask=mask, reach=max(1, 32 // reach))


def is_worse_in_the_middle(query, key, value, *, mask, reach):
    return near(query, key, value, mask=mask, reach=1 if reach == 8 else reach)


def is_mere_chance(query, key, value, *, mask, reach):
    return near(query, key, value, mask=mask, reach=4) + torch.randn(1).item() / 100


def builds_all_scores(query, key, value, *, mask, reach):
    (query @ key.mT).mean()
    return near(query, key, value, mask=mask, reach=reach)


def builds_a_table_of_pairs(query, key, value, *, mask, reach):
    """As lowering a mask does: few bytes, but all pairs."""
    torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).any()
    return near(query, key, value, mask=mask, reach=reach)


def hides_in_the_fused_kernel(query, key, value, *, mask, reach):
    """Which stores no scores, but computes them all."""
    exact = scaled_dot_attention(query, key, value, mask=None)
    return near(query, key, value, mask=mask, reach=reach) + 0 * exact


class _AllPairsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        (gradient[:, :, :, None] - gradient[:, :, None]).mean()
        return gradient


def builds_all_pairs_backward(query, key, value, *, mask, reach):
    return near(_AllPairsBackward.apply(query), key, value, mask=mask, reach=reach)


def is_inexact_when_paid_in_full(query, key, value, *, mask, reach):
    return near(query, key * (1 + 1e-9), value, mask=mask, reach=reach)


def forgets_the_mask(query, key, value, *, mask, reach):
    return near(query, key, value, mask=None, reach=reach)


FAULTS = {
    "test_error_falls_with_budget": [
        (ignores_its_budget, "the error must fall, got mean relative errors"),
        (is_worse_when_paid_more, "the error must fall, got mean relative errors"),
        (is_worse_in_the_middle, "the error must not rise with the budget, got 8 of 8 draws"),
    ],
    "test_cost_grows_as_promised": [
        (builds_all_scores, "flops must grow at most linear"),
        (builds_a_table_of_pairs, "allocated must grow at most linear"),
        (hides_in_the_fused_kernel, "flops must grow at most linear"),
    ],
    "test_largest_tensor_is_as_small_as_promised": [
        (builds_all_scores, "the largest tensor must hold at most 8192 numbers, got 262144"),
        (builds_a_table_of_pairs, "must hold at most 8192 numbers, got 262144"),
    ],
    "test_exact_at_full_budget": [
        (is_inexact_when_paid_in_full, r"(?s)at Sizes\(batch=2, heads=4.*not close"),
        (forgets_the_mask, "not close"),
    ],
}


@pytest.mark.parametrize(
    "test, attention, message",
    [(test, *fault) for test, faults in FAULTS.items() for fault in faults],
)
def test_planted_fault_is_found(test, attention, message):
    approximation = replace(GOOD, attention=attention, masks=["none", "lengths"])
    arguments = {
        "test_error_falls_with_budget": {},
        "test_exact_at_full_budget": {"kind": "lengths"},
    }.get(test, {"backward": False})
    with pytest.raises(AssertionError, match=message):
        getattr(ApproximationContract(), test)(approximation, **arguments)


@pytest.mark.parametrize(
    "test, message",
    [
        ("test_cost_grows_as_promised", "must grow at most linear"),
        ("test_largest_tensor_is_as_small_as_promised", "must hold at most 8192 numbers"),
    ],
)
def test_fault_in_the_backward_pass_is_found(test, message):
    approximation = replace(GOOD, attention=builds_all_pairs_backward, masks=["none"])
    run = getattr(ApproximationContract(), test)
    run(approximation, backward=False)
    with pytest.raises(AssertionError, match=message):
        run(approximation, backward=True)


def test_chance_is_no_proof():
    approximation = replace(GOOD, attention=is_mere_chance, masks=["none"], draws=16)
    reasons = set()
    for seed in range(4):
        torch.manual_seed(seed)
        with pytest.raises(AssertionError, match="the error must fall") as failure:
            ApproximationContract().test_error_falls_with_budget(approximation)
        reasons.add("than a coin would" in str(failure.value))
    assert reasons == {True, False}  # a mean that falls, and one that does not


def test_what_is_not_claimed_is_skipped_with_its_reason():
    contract = ApproximationContract()
    for changed, reason in [
        ({"full": "it is rough"}, "no budget is exact: it is rough"),
        ({"exact": None}, "there is no exact function"),
        ({"masks": ["none"]}, "does not claim masks of the kind causal"),
    ]:
        with pytest.raises(pytest.skip.Exception, match=reason):
            contract.test_exact_at_full_budget(replace(GOOD, **changed), "causal")
    with pytest.raises(pytest.skip.Exception, match="there is no exact function"):
        contract.test_error_falls_with_budget(replace(GOOD, exact=None))
    with pytest.raises(pytest.skip.Exception, match="promises no less"):
        contract.test_largest_tensor_is_as_small_as_promised(
            replace(GOOD, growth="quadratic", smaller=1), backward=False
        )


def test_one_budget_is_no_comparison():
    with pytest.raises(AssertionError, match="budgets must be several"):
        ApproximationContract().test_error_falls_with_budget(replace(GOOD, budgets=[4]))


def test_masks_that_are_tables_do_not_count_as_cost():
    approximation = replace(GOOD, masks=[kind for kind in MASKS if kind.startswith("dense")])
    ApproximationContract().test_cost_grows_as_promised(approximation, backward=False)
