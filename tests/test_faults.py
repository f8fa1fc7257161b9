"""Faults planted in a copy of the sources, one at a time: the contract turns red for each."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from heedful.kernels.cpu.build import compiler

PACKAGE = Path(__file__).parents[1] / "src" / "heedful"


class Fault(NamedTuple):
    """One wrong line, the mechanism whose contract must see it, and the rule that does."""

    what: str
    file: str
    right: str
    wrong: str
    mechanism: str
    rule: str


FAULTS = [
    Fault(
        "off-by-one window",
        "mask/_rules.py",
        "near = position - at.key < self.size",
        "near = position - at.key <= self.size",
        "dot",
        "output",
    ),
    Fault(
        "sinks forgotten",
        "mask/_rules.py",
        "& (near | (at.key < self.sinks))",
        "& near",
        "dot",
        "output",
    ),
    Fault(
        "the present hidden",
        "mask/_rules.py",
        "return at.key <= at.position(self.align)",
        "return at.key < at.position(self.align)",
        "dot",
        "output",
    ),
    Fault(
        "causal counted from the first key",
        "mask/_base.py",
        'return self.query + (self.keys - self.queries if align == "end" else 0)',
        "return self.query",
        "scaled_dot",
        "decoding",
    ),
    Fault(
        "inverted mask",
        "ops/_softmax.py",
        "weights = wide.masked_fill(~visible, torch.finfo(wide.dtype).min).softmax(-1)",
        "weights = wide.masked_fill(visible, torch.finfo(wide.dtype).min).softmax(-1)",
        "dot",
        "weights_sum_to_one",
    ),
    Fault(
        "empty rows look everywhere",
        "ops/_softmax.py",
        "return weights.masked_fill(~visible, 0.0).to(scores.dtype)",
        "return weights.to(scores.dtype)",
        "general",
        "empty_rows",
    ),
    Fault(
        "dropped causal flag",
        "kernels/sdpa.py",
        "is_causal=causal,",
        "is_causal=False,",
        "scaled_dot",
        "output",
    ),
    Fault(
        "a switch that knows only squares",
        "mask/__init__.py",
        "return queries == keys and isinstance(self._rule.within(queries, keys), Causal)",
        "return isinstance(self._rule.within(queries, keys), Causal)",
        "scaled_dot",
        "output",
    ),
    Fault(
        "wrong scale",
        "ops/scaled_dot.py",
        "factor = 1 / math.sqrt(query.shape[3]) if scale is None else scale",
        "factor = 1 / math.sqrt(key.shape[2]) if scale is None else scale",
        "scaled_dot",
        "output",
    ),
    Fault(
        "a native kernel that hides the present",
        "kernels/cpu/pattern.h",
        "std::min<long>(c.keys, i + c.high + 1)",
        "std::min<long>(c.keys, i + c.high)",
        "scaled_dot",
        "output",
    ),
    Fault(
        "swapped heads",
        "kernels/call.py",
        "return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=1)",
        "return tensor if groups == 1 else tensor.repeat(1, groups, 1, 1)",
        "dot",
        "grouped_heads",
    ),
    Fault(
        "a dtype that changes",
        "ops/_softmax.py",
        ".to(weights.dtype)).to(dtype)",
        ".to(weights.dtype))",
        "dot",
        "half_precision",
    ),
    Fault(
        "lengths counted one too long",
        "mask/_rules.py",
        "return at.key < self.values[at.batch]",
        "return at.key <= self.values[at.batch]",
        "dot",
        "hidden_keys",
    ),
    Fault(
        "and read as or",
        "mask/_combined.py",
        "visible = visible & part.visible(at)",
        "visible = visible | part.visible(at)",
        "dot",
        "output",
    ),
    Fault(
        "blocks indexed by position",
        "mask/_rules.py",
        "query_block, key_block = at.query // self.block, at.key // self.block",
        "query_block, key_block = at.query % self.grid.shape[2], at.key // self.block",
        "dot",
        "output",
    ),
    Fault(
        "batch rows selected in the wrong order",
        "mask/_tensors.py",
        "return tensor[rows]",
        "return tensor[rows.sort().values]",
        "dot",
        "batch_rows",
    ),
    Fault(
        "coverage added without its weight",
        "ops/coverage.py",
        "widen(coverage)[..., None] * widen(coverage_weight)[:, None]",
        "widen(coverage)[..., None]",
        "coverage",
        "output",
    ),
    Fault(
        "a projection transposed",
        "ops/general.py",
        "widen(query) @ widen(weight) @",
        "widen(query) @ widen(weight).flip(0) @",
        "general",
        "output",
    ),
    Fault(
        "a kernel flipped",
        "ops/location.py",
        "conv1d(signal, widen(kernel),",
        "conv1d(signal, widen(kernel).flip(2),",
        "location",
        "output",
    ),
    Fault(
        "no tanh",
        "ops/additive.py",
        "torch.tanh(pairs)",
        "pairs",
        "additive",
        "output",
    ),
    Fault(
        "a gradient cut",
        "ops/dot.py",
        "widen(key)",
        "widen(key).detach()",
        "dot",
        "gradients",
    ),
    Fault(
        "a window one too wide",
        "ops/_band.py",
        "near = (distance <= self.behind) & (distance >= -self.ahead)",
        "near = (distance <= self.behind + 1) & (distance >= -self.ahead)",
        "window",
        "output",
    ),
    Fault(
        "a running sum that is not rescaled",
        "ops/_blocks.py",
        "terms, kept = (scores - base).exp(), (largest - base).exp()",
        "terms, kept = (scores - base).exp(), torch.ones_like(base)",
        "blockwise",
        "output",
    ),
    Fault(
        "a recomputed gradient without its mean",
        "ops/_blocks.py",
        "by_scores = weights * (gradient @ near_value.mT - share)",
        "by_scores = weights * (gradient @ near_value.mT)",
        "blockwise",
        "gradients",
    ),
    Fault(
        "blocks filled up with others that count",
        "ops/block_sparse.py",
        "exists = there[..., None] & (places < keys)",
        "exists = (there[..., None] | True) & (places < keys)",
        "block_sparse",
        "output",
    ),
    Fault(
        "a search that stops early",
        "ops/_entmax_search.py",
        "STEPS = 14",
        "STEPS = 1",
        "entmax",
        "output",
    ),
    Fault(
        "padding counted as keys",
        "ops/scalable.py",
        "count_visible(scores, visible)",
        "count_visible(scores, None)",
        "scalable",
        "output",
    ),
    Fault(
        "the second map added",
        "ops/differential.py",
        "first - widen(subtracted)",
        "first + widen(subtracted)",
        "differential",
        "output",
    ),
    Fault(
        "heads mixed the other way round",
        "ops/talking_heads.py",
        "(mix @ maps.flatten(2))",
        "(mix.mT @ maps.flatten(2))",
        "talking_heads",
        "output",
    ),
    Fault(
        "a span that cuts instead of fading",
        "ops/adaptive_span.py",
        "((ramp + span - distance) / ramp).clamp(0, 1)",
        "((ramp + span - distance) / ramp).clamp(0, 1).ceil()",
        "adaptive_span",
        "output",
    ),
    Fault(
        "a pair met twice counted twice",
        "ops/reformer.py",
        "fresh = fresh & (behind != 0) & (behind != 1)",
        "fresh = fresh & (behind != 0)",
        "reformer",
        "output",
    ),
    Fault(
        "an inverse that does not converge",
        "ops/nystrom.py",
        "inverse @ (13 * one - product @ step) / 4",
        "inverse @ (13 * one - product @ step) / 5",
        "nystrom",
        "output",
    ),
]


@contextmanager
def planted(fault: "Fault | PlanFault | None", folder: Path) -> Iterator[None]:
    """Import heedful from a copy with the fault; afterwards the right one is back."""
    copy = folder / "heedful"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if fault is not None:
        path = copy / fault.file
        text = path.read_text(encoding="utf-8")
        assert fault.right in text, f"{fault.file} no longer holds: {fault.right}"
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
    kept = {name: module for name, module in sys.modules.items() if _ours(name)}
    for name in kept:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


def _ours(name: str) -> bool:
    return name.partition(".")[0] == "heedful"


WHOLE = ("scaled_dot",)  # its contract meets every case


def key_of(mechanism: str) -> str:
    """As the contract of an op names its cases."""
    name = "".join(word.capitalize() for word in mechanism.split("_"))
    return f"test_{mechanism}.Test{name}"


def broken(mechanism: str, rule: str) -> str:
    """The first case of a rule that fails, of those that the suite draws; empty when all hold."""
    claims = importlib.import_module("heedful.testing.claims")
    verification = importlib.import_module("heedful.testing.verification")
    rules = importlib.import_module("heedful.testing.rules").RULES
    chosen = importlib.import_module("heedful.testing.covering").chosen
    drawn = rules[rule]
    if mechanism not in WHOLE:
        drawn = replace(drawn, cases=tuple(chosen(rule, drawn.cases, key_of(mechanism))))
    (row,) = verification.verify(claims.CLAIMS[mechanism], rules={rule: drawn}).rows
    return row.example if row.verdict == "failed" else ""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_seen(fault, tmp_path):
    if fault.file.endswith(".h") and compiler() is None:
        pytest.skip("there is no C++ compiler")
    with planted(fault, tmp_path):
        assert importlib.import_module("heedful.ops").__file__.startswith(str(tmp_path))
        assert broken(fault.mechanism, fault.rule)


def test_a_copy_without_a_fault_is_green(tmp_path):
    with planted(None, tmp_path):
        for mechanism, rule in {(fault.mechanism, fault.rule) for fault in FAULTS}:
            assert broken(mechanism, rule) == ""


def test_the_right_package_is_back(tmp_path):
    before = importlib.import_module("heedful.ops")
    with planted(FAULTS[0], tmp_path):
        assert importlib.import_module("heedful.ops") is not before
    assert importlib.import_module("heedful.ops") is before


def test_there_are_enough_of_them():
    assert len({fault.what for fault in FAULTS}) == len(FAULTS) >= 20


# ---- plans ---------------------------------------------------------------------------------------


class PlanFault(NamedTuple):
    """One wrong line of what reads and changes sites, and the check that must see it."""

    what: str
    file: str
    right: str
    wrong: str
    check: str


PLAN_FAULTS = [
    PlanFault(
        "other heads kept",
        "allocation/moves/keep_heads.py",
        "rows = list(self.heads)",
        "rows = list(range(len(self.heads)))",
        "heads",
    ),
    PlanFault(
        "masks of other heads",
        "allocation/adapters/torch.py",
        "origin, original_heads = projections.origin, attention.num_heads",
        "origin, original_heads = tuple(range(len(projections.origin))), attention.num_heads",
        "masks",
    ),
    PlanFault(
        "hooks dropped",
        "allocation/attached.py",
        "getattr(new, name).update(hooks)",
        "pass",
        "hooks",
    ),
    PlanFault(
        "a bias gained",
        "allocation/adapters/torch.py",
        "out_biased=projections.out_bias is not None",
        "out_biased=True",
        "parameters",
    ),
    PlanFault(
        "values measured on what keys are made of",
        "allocation/moves/share_kv.py",
        "moments.values, site.value",
        "moments.context, site.value",
        "values",
    ),
    PlanFault(
        "one scale for all rows",
        "kernels/linear/linear.cpp",
        "rows.sizes[k]",
        "rows.sizes[rows.count - 1]",
        "rows",
    ),
    PlanFault(
        "an old weight",
        "nn/low_precision.py",
        "return torch.equal(self.some, self.were)",
        "return True",
        "weight",
    ),
]


def told_apart(check: str) -> bool:
    """Does what heedful gives now differ from what it must give?"""
    torch, nn = importlib.import_module("torch"), importlib.import_module("torch.nn")
    plan = importlib.import_module("heedful.allocation.plan")
    moves = importlib.import_module("heedful.allocation.moves")
    low = importlib.import_module("heedful.nn.low_precision")
    torch.manual_seed(1)
    site = nn.MultiheadAttention(12, 4, bias=check != "parameters", batch_first=True)
    model, x, y = nn.ModuleDict({"a": site, "b": nn.Identity()}).eval(), *torch.randn(2, 2, 5, 12)
    with torch.no_grad():
        if check in ("heads", "masks"):
            kept = plan.Plan(moves={"a": (moves.KeepHeads(heads=(1, 3)),)}).apply(model)
            mask = torch.rand(8, 5, 5) < 0.3 if check == "masks" else None
            got = kept["a"](x, x, x, attn_mask=mask)[0]
            for head in (0, 2):
                site.out_proj.weight[:, 3 * head : 3 * head + 3] = 0
            return not torch.allclose(got, site(x, x, x, attn_mask=mask)[0], atol=1e-5)
        if check == "hooks":
            heard = []
            site.register_forward_hook(lambda *_: heard.append(1))
            plan.unfused(model)["a"](x, x, x)
            return not heard
        if check == "parameters":
            return len(list(plan.unfused(model).parameters())) > len(list(model.parameters())) + 2
        if check == "values":
            sites, seen = plan.find_sites(apart := plan.unfused(model))[0], []
            look = importlib.import_module("heedful.allocation.moments").collect_moments
            apart["a"].core.query.weight.zero_()
            seen = look(apart, sites, [lambda: apart["a"](x, x, y + 5)])
            merged = plan.Plan(moves={"a": (moves.ShareKeyValue(kv_heads=2),)}).apply(apart, seen)
            want, got = (m["a"](x, x, y + 5)[0].mean((0, 1)) for m in (apart, merged))
            return not torch.allclose(got, want, atol=1e-3)
        layer = low.LowPrecisionLinear(12, 12, precision="int8").eval()
        first = layer(x[0])
        if check == "rows":
            return not torch.equal(layer(torch.cat([x[0], 100 * y[0]]))[:5], first)
        layer.weight.data.mul_(2)
        return torch.equal(layer(x[0]), first)


@pytest.mark.parametrize("fault", PLAN_FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_in_plans_is_seen(fault, tmp_path):
    with planted(fault, tmp_path):
        assert told_apart(fault.check)


@pytest.mark.parametrize("check", sorted({fault.check for fault in PLAN_FAULTS}))
def test_plans_without_a_fault_are_right(check):
    assert not told_apart(check)
