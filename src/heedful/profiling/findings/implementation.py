"""Attention that another implementation computes faster, with the same result."""

from typing import Any

from heedful.allocation.attached import copied
from heedful.bench.timing import Ratio
from heedful.optimizing.problem import Problem
from heedful.profiling.findings.finding import Finding, faster_by, worth_it

OURS = "heedful"
REMEDIES = {
    "sdpa": 'from_pretrained(..., attn_implementation="sdpa")',
    OURS: 'heedful.kernels.transformers.register(); model.set_attn_implementation("heedful")',
}


def other_attention(problem: Problem) -> Finding | None:
    """Find the fastest implementation of attention for a model of transformers.

    Args:
        problem: Whose model is looked at.
    """
    current = getattr(getattr(problem.model, "config", None), "_attn_implementation", None)
    if current not in ("eager", "sdpa"):
        return None
    from heedful.kernels.transformers import register

    register()
    gains = {
        name: gain
        for name in REMEDIES
        if name != current and (gain := _gain(problem, name)) is not None
    }
    best = max(gains, key=lambda name: gains[name].median, default=None)
    if best is None or not worth_it(gains[best]):
        return None
    others = [f"{name} {gain}" for name, gain in gains.items() if name != best]
    more = f" ({', '.join(others)})" if others else ""
    return Finding(
        name="implementation",
        text=f"attention is {current}; with {best} the work is {gains[best]} faster{more}",
        remedy=REMEDIES[best],
        gain=gains[best].median,
    )


def _gain(problem: Problem, name: str) -> Ratio | None:
    """How many times faster it is; `None` where the model does not take it."""
    model: Any = copied(problem.model)
    try:
        model.set_attn_implementation(name)
        if model.config._attn_implementation != name:
            return None
        return faster_by(problem, model)
    except (NotImplementedError, ValueError):  # the class or a kernel says that it cannot
        return None
