"""What could be faster at once, before anything is cut: measured, each with its remedy."""

from collections.abc import Callable

from heedful.optimizing.problem import Problem
from heedful.profiling.findings.finding import Finding
from heedful.profiling.findings.implementation import other_attention
from heedful.profiling.findings.padding import needless_padding
from heedful.profiling.findings.precision import fewer_bits
from heedful.profiling.findings.weights import unread_weights

Find = Callable[[Problem], Finding | None]

FINDINGS: dict[str, Find] = {
    "unread_weights": unread_weights,
    "implementation": other_attention,
    "precision": fewer_bits,
    "padding": needless_padding,
}


def cheap_findings(problem: Problem) -> tuple[Finding, ...]:
    """Return what was found, the largest gain first.

    Args:
        problem: With work that can be timed.

    Cost:
        Some ten passes over the work for each kind of finding that may apply, and copies of the
        model.
    """
    found = [finding for find in FINDINGS.values() if (finding := find(problem)) is not None]
    return tuple(sorted(found, key=lambda finding: -(finding.gain or 0)))
