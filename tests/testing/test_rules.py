"""Every rule sees the faults that it is for: each wrong function breaks the rule beside it."""

import re
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.ops import dot_attention, dot_weights, scaled_dot_attention
from heedful.testing import oracle
from heedful.testing.claim import Claim, NotClaimed, Refused
from heedful.testing.rules import RULES, describe, grid, in_turn

GOOD = Claim(attention=dot_attention, weights=dot_weights, oracle=oracle.dot)


def lowered(mask, query, key):
    if mask is None:
        return None
    batch, heads, queries, _ = query.shape
    return mask.to_bool(queries, key.shape[2], batch=batch, heads=heads)


def forgets_mask(query, key, value, *, mask):
    return dot_attention(query, key, value)


def inverts_mask(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    mask = None if visible is None else Mask.dense(~visible)
    return dot_attention(query, key, value, mask=mask)


def aligns_to_the_start(query, key, value, *, mask):
    mask = Mask.causal(align="start") if mask == Mask.causal() else mask
    return dot_attention(query, key, value, mask=mask)


def scales(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    return scaled_dot_product_attention(query, key, value, visible, enable_gqa=True)


def reduces_precision(query, key, value, *, mask):
    return dot_attention(query, key, value.half().to(value.dtype), mask=mask)


def rounds_to_eight_bits(query, key, value, *, mask):
    return dot_attention(query, key, value.to(torch.float8_e5m2).to(value.dtype), mask=mask)


def widens(query, key, value, *, mask):
    return dot_attention(query, key, value, mask=mask).to(
        torch.promote_types(query.dtype, torch.float32)
    )


def spreads_where_nothing_is_visible(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    if visible is not None:
        mask = Mask.dense(visible | ~visible.any(-1, keepdim=True))
    return dot_attention(query, key, value, mask=mask)


def is_not_a_number_where_nothing_is_visible(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    scores = query @ key.mT
    scores = scores if visible is None else scores.masked_fill(~visible, float("-inf"))
    return scores.softmax(-1) @ value


def wrong_gradient(query, key, value, *, mask):
    return dot_attention(query, key.detach(), value, mask=mask)


class Doubled(torch.autograd.Function):
    """Right forward and backward; what the backward depends on is hidden from autograd."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x.detach() ** 2


def wrong_second_gradient(query, key, value, *, mask):
    return dot_attention(query, key, Doubled.apply(value), mask=mask)


def wrong_groups(query, key, value, *, mask):
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat(1, groups, 1, 1), value.repeat(1, groups, 1, 1)
    return dot_attention(query, key, value, mask=mask)


def mixes_batch_rows(query, key, value, *, mask):
    return dot_attention(query, key, value, mask=mask) + value.mean((0, 1, 2))


def mixes_heads(query, key, value, *, mask):
    return dot_attention(query, key, value, mask=mask) + value[:, :1].mean(2, keepdim=True)


def reads_hidden_keys(query, key, value, *, mask):
    return dot_attention(query, key - key.mean(2, keepdim=True) * query.mean(), value, mask=mask)


def multiplies_hidden_values(query, key, value, *, mask):
    return dot_weights(query, key, mask=mask) @ value


def differentiates_hidden_keys(query, key, value, *, mask):
    weights = dot_weights(query, key, mask=mask)
    seen = torch.where(value.isfinite(), value, 0.0)
    return weights @ seen


def reads_other_queries(query, key, value, *, mask):
    return dot_attention(query, key, value, mask=mask) + query.mean((2, 3), keepdim=True)


def reads_neighbours(query, key, value, *, mask):
    return dot_attention(query, key + key.roll(1, 2), value, mask=mask)


def ignores_strides(query, key, value, *, mask):
    if not key.is_contiguous():
        key = key.flip(2)
    return dot_attention(query, key, value, mask=mask)


def overflows(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    exponentials = (query.float() @ key.float().mT).exp()
    exponentials = exponentials if visible is None else exponentials * visible
    weights = exponentials / exponentials.sum(-1, keepdim=True)
    return (weights @ value.float()).to(value.dtype)


def forgets_that_nothing_drops(query, key, value, *, mask, dropout=0.1):
    return dot_attention(query, key, value, mask=mask) * (1 if dropout else 2)


def throws_dice(query, key, value, *, mask):
    return dot_attention(query, key, value, mask=mask) * (1 + 1e-3 * torch.rand(()))


def writes_to_its_input(query, key, value, *, mask):
    output = dot_attention(query, key, value, mask=mask)
    with torch.no_grad():
        query.mul_(2)
    return output


def differs_when_compiled(query, key, value, *, mask):
    factor = 2 if torch.compiler.is_compiling() else 1
    return dot_attention(query, key, value, mask=mask) * factor


def too_small(query, key, *, mask):
    return dot_weights(query, key, mask=mask) / 2


def leaks(query, key, *, mask):
    return dot_weights(query, key)


HALF = {"sizes": "fewer_queries", "kind": "none", "dtype": torch.bfloat16}
FULL = {"sizes": "fewer_queries", "kind": "none", "dtype": torch.float32}


def at(kind, sizes="fewer_queries"):
    return {"sizes": sizes, "kind": kind, "dtype": torch.float64}


def wrong(**changed):
    return replace(GOOD, **changed)


FAULTS = [
    ("output", wrong(attention=forgets_mask), at("causal")),
    ("output", wrong(attention=inverts_mask), at("lengths")),
    ("output", wrong(attention=aligns_to_the_start), at("causal")),
    ("output", wrong(attention=scales), at("none")),
    ("output", wrong(attention=reduces_precision), FULL),
    ("output", wrong(attention=widens), HALF),
    ("output", wrong(weights=too_small), at("none")),
    ("half_precision", wrong(attention=scales), HALF),
    ("half_precision", wrong(attention=rounds_to_eight_bits), HALF),
    ("weights_make_the_output", wrong(attention=scales), {"kind": "causal"}),
    ("weights_sum_to_one", wrong(weights=too_small), {"kind": "causal"}),
    ("weights_sum_to_one", wrong(weights=leaks), {"kind": "causal"}),
    ("hidden_keys", wrong(attention=forgets_mask), {"kind": "causal"}),
    ("hidden_keys", wrong(attention=reads_hidden_keys), {"kind": "lengths"}),
    (
        "hidden_numbers",
        wrong(attention=multiplies_hidden_values),
        {"kind": "lengths", "number": float("nan")},
    ),
    (
        "hidden_numbers",
        wrong(attention=differentiates_hidden_keys),
        {"kind": "causal", "number": float("inf")},
    ),
    ("hidden_gradients", wrong(attention=reads_hidden_keys), {"kind": "lengths"}),
    (
        "empty_rows",
        wrong(attention=spreads_where_nothing_is_visible),
        {"dtype": torch.float32, "value_dim": 6},
    ),
    (
        "empty_rows",
        wrong(attention=is_not_a_number_where_nothing_is_visible, weights=None),
        {"dtype": torch.float32, "value_dim": 6},
    ),
    ("refused_masks", wrong(attention=forgets_mask, masks=("none", "full")), {}),
    ("gradients", wrong(attention=wrong_gradient), {"kind": "none", "value_dim": 3}),
    ("second_gradients", wrong(attention=wrong_second_gradient), {"kind": "none", "value_dim": 2}),
    ("large_scores", wrong(attention=overflows), {"dtype": torch.float32}),
    ("batch_rows", wrong(attention=mixes_batch_rows), {"kind": "none"}),
    ("heads", wrong(attention=mixes_heads), {"kind": "none"}),
    ("order_of_keys", wrong(attention=reads_neighbours), {"kind": "none"}),
    ("pieces", wrong(attention=reads_other_queries), {"kind": "none", "first": 1}),
    ("decoding", wrong(attention=aligns_to_the_start), {"kind": "causal"}),
    ("grouped_heads", wrong(attention=wrong_groups), {"kind": "none"}),
    ("memory_layout", wrong(attention=ignores_strides), {"kind": "causal"}),
    ("deterministic", wrong(attention=throws_dice), {"kind": "none"}),
    ("inputs_unchanged", wrong(attention=writes_to_its_input), {"kind": "none"}),
    ("no_dropout", wrong(attention=forgets_that_nothing_drops), {}),
    ("compiles", wrong(attention=differs_when_compiled), {"kind": "none"}),
    ("exports", wrong(attention=differs_when_compiled), {"kind": "none"}),
]


def ids():
    return [f"{rule}-{(claim.attention.__name__)}" for rule, claim, _ in FAULTS]


def passes(rule, claim, case):
    try:
        RULES[rule].check(claim, **case)
    except NotClaimed:
        return None
    return True


@pytest.mark.parametrize("rule, claim, case", FAULTS, ids=ids())
def test_rule_sees_the_fault(rule, claim, case):
    assert passes(rule, GOOD, case) in (True, None)
    with pytest.raises(AssertionError):
        RULES[rule].check(claim, **case)


def test_every_rule_was_seen_to_fail():
    assert {rule for rule, _, _ in FAULTS} == set(RULES)


def test_promises_are_short_and_different():
    promises = [rule.promise for rule in RULES.values()]
    assert len(set(promises)) == len(promises)
    assert all(len(promise) <= 65 for promise in promises)


def test_a_refused_mask_must_be_refused_by_its_name():
    def refuses(error):
        def attention(query, key, value, *, mask):
            if mask not in (None, Mask.full()):
                raise error("only full masks")
            return dot_attention(query, key, value)

        return Claim(attention=attention, oracle=oracle.dot, masks=("none", "full"))

    RULES["refused_masks"].check(refuses(UnsupportedError))
    with pytest.raises(AssertionError, match="must raise UnsupportedError, it raised KeyError"):
        RULES["refused_masks"].check(refuses(KeyError))


@pytest.mark.parametrize(
    "claim, rule, case, reason",
    [
        (wrong(masks=("none",)), "hidden_keys", {"kind": "causal"}, "masks of the kind causal"),
        (wrong(weights=None), "weights_sum_to_one", {"kind": "none"}, "does not return weights"),
        (GOOD, "refused_masks", {}, "it takes every mask"),
        (GOOD, "no_dropout", {}, "it has no dropout"),
        (
            wrong(exact_gradients=False),
            "gradients",
            {"kind": "none", "value_dim": 3},
            "not the derivative",
        ),
        (
            Claim(
                attention=scaled_dot_attention, oracle=oracle.scaled_dot, twice_differentiable=False
            ),
            "second_gradients",
            {"kind": "none", "value_dim": 3},
            "no second gradient",
        ),
        (wrong(independent_heads=False), "heads", {"kind": "none"}, "talk to each other"),
        (
            wrong(permutation_invariant=False),
            "order_of_keys",
            {"kind": "none"},
            "neighbours of a key",
        ),
        (wrong(square=True), "pieces", {"kind": "none", "first": 1}, "must come together"),
        (wrong(one_query=True), "decoding", {"kind": "causal"}, "must come together"),
        (wrong(decodes=False), "decoding", {"kind": "causal"}, "how many keys there are"),
        (wrong(grouped=False), "grouped_heads", {"kind": "none"}, "as many key/value heads"),
    ],
)
def test_says_what_is_not_claimed(claim, rule, case, reason):
    with pytest.raises(NotClaimed, match=reason):
        RULES[rule].check(claim, **case)


CALLS = [
    ("compiles", {"kind": "none"}),
    ("exports", {"kind": "none"}),
    ("output", at("none")),
    ("gradients", {"kind": "none", "value_dim": 3}),
]


@pytest.mark.parametrize("rule, case", CALLS)
@pytest.mark.parametrize(
    "error, outcome",
    [
        (UnsupportedError("no"), Refused),
        (NotImplementedError("no"), Refused),
        (RuntimeError("\"baddbmm\" not implemented for 'Half'"), Refused),
        (RuntimeError("index -1 is out of bounds"), AssertionError),
        (KeyError("no"), AssertionError),
        (ValueError("not implemented"), AssertionError),
    ],
)
def test_only_what_says_so_is_a_refusal(rule, case, error, outcome):
    def complains(query, key, value, *, mask):
        raise error

    words = f"{type(error).__name__}: {error}"
    with pytest.raises(outcome, match=re.escape(words)) as told:
        RULES[rule].check(Claim(attention=complains, oracle=oracle.dot), **case)
    assert str(told.value) == (words if outcome is Refused else f"it raised {words}")


@pytest.mark.parametrize("rule", ["hidden_gradients", "empty_rows"])
def test_a_backward_that_breaks_is_a_failure(rule):
    class Breaks(torch.autograd.Function):
        @staticmethod
        def forward(ctx, output):
            return output.clone()

        @staticmethod
        def backward(ctx, *gradients):
            raise IndexError("beyond the end")

    def attention(query, key, value, *, mask):
        return Breaks.apply(dot_attention(query, key, value, mask=mask))

    with pytest.raises(AssertionError, match="it raised IndexError: beyond the end"):
        RULES[rule].check(Claim(attention=attention, oracle=oracle.dot), **RULES[rule].cases[0])


def test_dtypes_in_turn_meet_every_size_and_every_kind():
    cases = in_turn(sizes=("a", "b"), kind=("c", "d", "e"), dtype=(torch.float64, torch.float32))
    pairs = {(case["sizes"], case["kind"]) for case in cases}
    assert len(cases) == len(pairs) == 6
    for axis, values in (("sizes", "ab"), ("kind", "cde")):
        found = {(case[axis], case["dtype"]) for case in cases}
        assert found == {(x, t) for x in values for t in (torch.float64, torch.float32)}


def test_grid_has_every_combination():
    assert grid(a=(1, 2), b=(3,)) == ({"a": 1, "b": 3}, {"a": 2, "b": 3})
    assert describe({"kind": "none", "dtype": torch.float32}) == "kind=none dtype=float32"


def test_a_second_gradient_that_is_claimed_must_be_there():
    claim = Claim(attention=scaled_dot_attention, oracle=oracle.scaled_dot)
    with pytest.raises(Refused, match="not implemented"):
        RULES["second_gradients"].check(claim, kind="none", value_dim=3)


def test_a_wrong_second_gradient_is_no_excuse():
    case = {"kind": "none", "value_dim": 2}
    with pytest.raises(AssertionError):
        RULES["second_gradients"].check(
            wrong(attention=wrong_second_gradient, twice_differentiable=False), **case
        )
