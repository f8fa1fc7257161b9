"""Whatever stands at a hidden key or value, no bit of an output or a gradient changes."""

import math
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from heedful.kernels import hidden
from heedful.kernels.attend import attend
from heedful.kernels.cpu.build import compiler
from heedful.mask import Mask
from heedful.ops import linear_attention

NATIVE = [(torch.float32, 0.0), (torch.bfloat16, 0.0)] if compiler() else []
WAYS = [
    *[("cpu", *way) for way in NATIVE],
    *[("auto", *way) for way in ((torch.float16, 0.0), (torch.float32, 0.2))],
    *[("sdpa", *way) for way in ((torch.float32, 0.0), (torch.float32, 0.2), (torch.float64, 0.0))],
    ("plain", torch.bfloat16, 0.0),
]
QUERIES, KEYS = 13, 21


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def odds(*shape, share=0.5):
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) < share


def blind_row():
    table = odds(2, 1, QUERIES, KEYS)
    table[:, :, 3] = False
    table[..., 7] = False
    return table


MASKS = {
    "lengths": Mask.lengths(torch.tensor([10, KEYS])),
    "nothing": Mask.lengths(torch.tensor([0, 4])),
    "causal": Mask.causal(),
    "window": Mask.window(4, sinks=1),
    "causal and lengths": Mask.causal() & Mask.lengths(torch.tensor([14, KEYS])),
    "segments": Mask.segments(torch.arange(2 * QUERIES).view(2, -1) // 4 % 3, odds(2, KEYS).long()),
    "blocks": Mask.blocks(odds(1, 4, 4, 6), block=4),
    "dense": Mask.dense(blind_row()),
    "keys": Mask.dense(odds(2, 1, 1, KEYS)),
    "either": Mask.window(3) | Mask.dense(odds(1, 1, 1, KEYS, share=0.2)),
}
SIZES = {"queries": QUERIES, "keys": KEYS, "batch": 2, "heads": 4}


def spoil(key, value, mask, row, number):
    """Put `number` wherever the query `row` of every head sees nothing; and what sees it then."""
    visible = mask.to_bool(**SIZES).expand(2, 4, QUERIES, KEYS)
    free = ~visible[:, :, row].view(2, 2, 2, KEYS).any(2)
    key, value = key.clone(), value.clone()
    key[..., 1::2][free] = number
    value[..., ::2][free] = number
    clean = ~(visible & free.repeat_interleave(2, 1)[:, :, None]).any(-1)
    return key, value, clean


def run(tensors, mask, clean, bias=None, **settings):
    """The output without a gradient, and the gradients of a loss over some rows."""
    leaves = [x.clone().requires_grad_() for x in (*tensors, *([] if bias is None else [bias]))]
    settings |= {} if bias is None else {"bias": leaves[3]}
    answers = []
    for graph in (False, True):
        torch.manual_seed(3)
        with torch.set_grad_enabled(graph):
            answers.append(attend(*leaves[:3], mask=mask, **settings))
    assert torch.equal(*(x.detach()[clean] for x in answers)) or settings["impl"] == "auto"
    weights = draw(*answers[0].shape, seed=9).to(answers[0].dtype)
    (answers[1] * weights)[clean].sum().backward()
    return answers[0][clean], [x.grad for x in leaves]


def tensors(dtype, queries=QUERIES):
    shapes = ((2, 4, queries, 8), (2, 2, KEYS, 8), (2, 2, KEYS, 6))
    return [draw(*shape, seed=seed).to(dtype) for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("impl, dtype, dropout", WAYS)
def test_nothing_behind_a_mask_counts(impl, kind, dtype, dropout):
    mask, (query, key, value) = MASKS[kind], tensors(dtype)
    visible = mask.to_bool(**SIZES).expand(2, 4, QUERIES, KEYS)
    settings = {"impl": impl, "dropout": dropout}
    for row, number in ((0, math.nan), (0, math.inf), (6, -math.inf), (3, torch.finfo(dtype).max)):
        *spoilt, clean = spoil(key, value, mask, row, number)
        *zeros, _ = spoil(key, value, mask, row, 0.0)
        want, by = run((query, *zeros), mask, clean, **settings)
        found, by_spoilt = run((query, *spoilt), mask, clean, **settings)
        assert torch.equal(found, want)
        assert torch.equal(by_spoilt[0][clean], by[0][clean])
        # the others see what was spoilt, and keys that they see have a gradient of theirs
        apart = ~(visible & ~clean[..., None]).any(2).view(2, 2, 2, KEYS).any(2)
        for a, b in zip(by_spoilt[1:], by[1:], strict=True):
            assert torch.equal(a[apart], b[apart])


@pytest.mark.parametrize("impl, dtype, dropout", WAYS)
def test_who_sees_it_gets_it(impl, dtype, dropout):
    """A query that sees NaN or inf is not answered as if it were not there."""
    query, key, value = tensors(dtype)
    value[:, :, 9, 0], value[:, :, 12, 1], value[:, :, 14] = math.inf, math.nan, math.nan
    mask = Mask.causal() & Mask.lengths(torch.tensor([14, 14]))
    with torch.no_grad():
        answer = attend(query, key, value, mask=mask, impl=impl)
    first = 9 - (KEYS - QUERIES)
    assert bool((answer[:, :, first:, 0] == math.inf).all())
    assert bool(answer[:, :, first + 3 :, 1].isnan().all())
    assert bool(answer[:, :, :first].isfinite().all())
    assert bool(answer[..., 2:].isfinite().all())


@pytest.mark.parametrize("impl, dtype, dropout", WAYS)
def test_nor_is_its_gradient_a_number(impl, dtype, dropout):
    query, key, value = (x.requires_grad_() for x in tensors(dtype))
    with torch.no_grad():
        value[:, :, 9, 0], value[:, :, 12, 1] = math.inf, math.nan
    attend(query, key, value, mask=Mask.causal(), impl=impl, dropout=dropout).sum().backward()
    first = 9 - (KEYS - QUERIES)
    assert bool(query.grad[:, :, first:].isnan().all())
    assert bool(query.grad[:, :, :first].isfinite().all())
    assert bool(key.grad.isnan().all())  # the last query sees all


@pytest.mark.parametrize("impl", ["auto", "sdpa"])
def test_a_bias_so_low_that_scores_are_lost_is_guarded_alike(impl):
    query, key, value = tensors(torch.float32)
    query[:, :, 3] = math.nan
    bias = torch.zeros(QUERIES, KEYS)
    bias[1], bias[3] = torch.finfo(torch.float32).min, -math.inf
    leaves = [x.requires_grad_() for x in (query, key, value)]
    attend(*leaves, bias=bias, impl=impl).sum().backward()
    assert all(bool(x.grad.isfinite().all()) for x in leaves)


def test_keys_without_numbers_hide_what_their_values_are():
    query, key, (_, _, value) = torch.zeros(2, 4, 3, 0), torch.zeros(2, 2, KEYS, 0), tensors(None)
    value[:, :, 5:] = math.nan
    answer = attend(query, key, value, mask=Mask.lengths(torch.tensor([5, 5])))
    want = value[:, :, None, :5].mean(3).expand(2, 2, 6, 6).reshape(2, 4, 3, 6)
    torch.testing.assert_close(answer, want)


@pytest.mark.parametrize("impl, dtype, dropout", WAYS)
def test_a_row_that_sees_nothing_is_0_whatever_its_query_is(impl, dtype, dropout):
    query, key, value = tensors(dtype)
    mask = Mask.dense(blind_row())
    query[:, :, 3] = math.nan
    everywhere = torch.ones(2, 4, QUERIES, dtype=torch.bool)
    answer, by = run((query, key, value), mask, everywhere, impl=impl, dropout=dropout)
    answer = answer.view(2, 4, QUERIES, 6)
    assert bool((answer[:, :, 3] == 0).all())
    assert bool((by[0][:, :, 3] == 0).all())
    assert all(bool(x.isfinite().all()) for x in (answer, *by))


@pytest.mark.parametrize("impl, dtype, dropout", WAYS)
def test_a_bias_behind_the_mask_does_not_count(impl, dtype, dropout):
    query, key, value = tensors(dtype)
    mask, bias = Mask.dense(blind_row()), draw(1, 4, QUERIES, KEYS).to(dtype)
    everywhere = torch.ones(2, 4, QUERIES, dtype=torch.bool)
    hidden_for_all = ~mask.to_bool(**SIZES).any(0, keepdim=True).expand(1, 4, -1, -1)
    settings = {"impl": impl, "dropout": dropout}
    want, by = run((query, key, value), mask, everywhere, bias, **settings)
    spoilt = bias.masked_fill(hidden_for_all, math.nan)
    found, by_spoilt = run((query, key, value), mask, everywhere, spoilt, **settings)
    assert torch.equal(found, want)
    for a, b in zip(by_spoilt, by, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("low", ["-inf", "lowest"])
@pytest.mark.parametrize("impl, dtype, dropout", WAYS)
def test_infinity_in_a_bias_hides_and_the_lowest_number_does_not(impl, dtype, dropout, low):
    """A row of -inf sees nothing: 0. A row of the lowest number sees all alike: the mean."""
    query, key, value = tensors(dtype)
    bias = torch.zeros(QUERIES, KEYS)
    bias[4] = -math.inf if low == "-inf" else torch.finfo(torch.float32).min
    if low == "-inf":
        key[:, :, 5], bias[:, 5] = math.nan, -math.inf
    with torch.no_grad():
        answer = attend(query, key, value, bias=bias, impl=impl).float()
    want = torch.zeros(2, 4, 6) if low == "-inf" else value.float().mean(2).repeat_interleave(2, 1)
    assert bool(answer.isfinite().all())
    torch.testing.assert_close(answer[:, :, 4], want, rtol=0, atol=2e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_step_against_a_cache_that_was_never_written(dtype):
    query, key, value = tensors(dtype, queries=1)
    caches = []
    for number in (0.0, math.nan, math.inf):
        cache = [x.clone() for x in (key, value)]
        for x in cache:
            x[0, :, 9:], x[1, :, 17:] = number, number
        caches.append(cache)
    for mask in (
        Mask.lengths(torch.tensor([9, 17])),
        Mask.dense(torch.arange(KEYS)[None, None, None] < torch.tensor([9, 17]).view(2, 1, 1, 1)),
    ):
        with torch.no_grad():
            want, *answers = (attend(query, *cache, mask=mask) for cache in caches)
        assert all(torch.equal(answer, want) for answer in answers)


def test_mechanisms_keep_out_what_nobody_may_see(monkeypatch):
    """What `heedful.ops` use: NaN for who sees it, and nothing of it for the others."""
    query, key, value = (x.requires_grad_() for x in tensors(torch.float64))
    seen = Mask.causal().to_bool(**SIZES)

    def mechanism(query, key, value):
        key, value = (x.repeat_interleave(2, 1) for x in (key, value))
        weights = (query @ key.mT).masked_fill(~seen, -1e9).sigmoid().masked_fill(~seen, 0.0)
        return weights @ value

    want = mechanism(query, key, value)
    with torch.no_grad():
        bad = key.clone()
        bad[:, :, 12] = math.nan
    bad.requires_grad_()
    row = 12 - (KEYS - QUERIES)
    found = hidden.keep_out(mechanism, query, bad, value, Mask.causal())
    assert torch.equal(found[:, :, :row], want[:, :, :row])
    assert bool(found[:, :, row:].isnan().all())
    found[:, :, :row].sum().backward()
    by = [x.grad.clone() for x in (query, bad, value)]
    assert all(bool(x.isfinite().all()) for x in by[1:])
    assert bool((by[1][:, :, 12:] == 0).all())
    monkeypatch.setattr(Mask, "to_bool", lambda *_, **__: pytest.fail("looked"))
    assert hidden.keep_out(mechanism, query, key, value, Mask.causal()) is not None


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_graph_keeps_out_what_nobody_sees(dtype):
    query, key, value = tensors(dtype)
    mask = Mask.lengths(torch.tensor([10, KEYS]))
    key[0, :, 10:] = math.nan
    traced = torch.jit.trace(lambda q, k, v: attend(q, k, v, mask=mask), (query, key, value))
    assert bool(traced(query, key, value).isfinite().all())


@pytest.mark.parametrize("shape", [(KEYS,), (2, 1, QUERIES, KEYS)])
def test_a_bias_that_hides_does_so_under_a_transform(shape):
    query, key, value = tensors(torch.float32)
    key[..., 10:, 1], value[..., 10:, :] = math.nan, math.inf
    bias = draw(*shape)
    bias[..., 10:] = -math.inf
    answer = torch.vmap(lambda *given: attend(*given, mask=Mask.causal(), bias=bias))(
        query[None], key[None], value[None]
    )
    assert bool(answer.isfinite().all())


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("impl, dtype, dropout", WAYS)
def test_a_hidden_value_may_be_as_large_as_numbers_are(impl, dtype, dropout, sign):
    """Its products with a gradient overflow, and the second takes the first out of a sum."""
    leaves = tensors(dtype)
    leaves[2][:, :, 10], leaves[2][:, :, 11] = (torch.finfo(dtype).max * x for x in (1.0, sign))
    leaves = [x.requires_grad_() for x in leaves]
    mask = Mask.lengths(torch.tensor([10, 10]))
    attend(*leaves, mask=mask, impl=impl, dropout=dropout).mul(3).sum().backward()
    assert all(bool(x.grad.isfinite().all()) for x in leaves)


def test_a_sum_that_overflows_costs_no_second_answer(monkeypatch):
    query, key, value = (x.half() for x in tensors(torch.float32))
    monkeypatch.setattr(hidden, "clean", lambda *_: pytest.fail("looked at every pair"))
    answer = attend(query, key, value + 60_000, mask=Mask.causal(), impl="sdpa")
    assert bool(answer.isfinite().all())


class Largest(TorchDispatchMode):
    """Under it nobody may look at values, as on a GPU."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        found = [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.numbers = max(self.numbers, *found, 0)
        return result


@pytest.mark.parametrize("attention", [partial(attend, impl="sdpa"), linear_attention])
def test_what_nobody_sees_is_told_without_a_look_at_every_pair(attention):
    given = [draw(1, 1, 512, 4) for _ in range(3)]
    with Largest() as largest:
        attention(*given, mask=Mask.causal())
    assert largest.numbers < 512 * 512 / 4


@pytest.mark.parametrize(
    "fault, wrong",
    [
        ("finite", lambda output: True),
        ("clean", lambda *given: None),
        ("_spoilt", lambda query, key, value, scale: torch.zeros(2, 2, KEYS, 1).bool()),
        ("_sees", lambda seen, spoilt, query: torch.zeros(2, 4, QUERIES).bool()),
    ],
)
def test_a_guard_that_is_taken_away_is_missed(monkeypatch, fault, wrong):
    """Each part of the guard is needed: without it NaN comes through, or is swallowed."""
    query, key, value = tensors(torch.float64)
    value[:, :, 12] = math.nan
    row = 12 - (KEYS - QUERIES)
    monkeypatch.setattr(hidden, fault, wrong)
    answer = attend(query, key, value, mask=Mask.causal(), impl="sdpa")
    kept_out, told = answer[:, :, :row].isfinite().all(), answer[:, :, row:].isnan().all()
    assert not (kept_out and told)
