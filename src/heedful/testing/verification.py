"""Run the rules on any attention function, outside of a test suite, and say what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from heedful.testing.claim import Claim, NotClaimed, Refused
from heedful.testing.rules import RULES, Case, Rule, describe

Verdict = Literal["passed", "partly", "failed", "unsupported", "not claimed"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one rule.

    Args:
        rule: Its name.
        promise: What should hold.
        verdict: `failed` where any case is wrong; otherwise `passed` where all are right, `partly`
            where some are right and the function refused the others; `unsupported` where it refused
            every case, `not claimed` where the claim leaves the rule out.
        passed: Cases that are right.
        failed: Cases that are wrong.
        unsupported: Cases that the function refused, by an error that says that it cannot.
        example: The first wrong case, or else the first that was refused; empty if there is none.
    """

    rule: str
    promise: str
    verdict: Verdict
    passed: int
    failed: int
    unsupported: int
    example: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of all rules.

    Args:
        function: What was looked at.
        rows: One for each rule.
        inferred: As in the claim.
    """

    function: str
    rows: tuple[Row, ...]
    inferred: bool = False

    @property
    def problem(self) -> str:
        """Why the function does not keep its claim; empty where it does."""
        if failed := self.count("failed"):
            return f"every rule must hold, got {failed} that do not"
        if not self.count("passed") + self.count("partly"):
            return f"some rule must hold, got {self.count('unsupported')} that are refused"
        refused = self.count("unsupported") + self.count("partly")
        if refused and not self.inferred:
            return f"what is claimed must not be refused, got {refused} rules where it is"
        return ""

    def count(self, verdict: Verdict) -> int:
        """How many rules ended so."""
        return sum(row.verdict == verdict for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the counts, and a row for each rule."""
        return {
            "function": self.function,
            "passed": self.count("passed"),
            "partly": self.count("partly"),
            "failed": self.count("failed"),
            "unsupported": self.count("unsupported"),
            "not_claimed": self.count("not claimed"),
            "problem": self.problem,
            "rules": [asdict(row) for row in self.rows],
        }


def verify(
    claim: Claim,
    *,
    name: str = "",
    rules: Mapping[str, Rule] = RULES,
    on_progress: Callable[[str], None] = lambda rule: None,
) -> Report:
    """Hold a function to its claim.

    Args:
        claim: The function, and what it claims to be.
        name: What the report calls it; the function's own name by default.
        rules: Which rules to check, by name.
        on_progress: Called with each rule's name before it is checked.

    Returns:
        A row for each rule.
    """
    rows: list[Row] = []
    for rule_name, rule in rules.items():
        on_progress(rule_name)
        rows.append(_row(claim, rule_name, rule))
    return Report(
        function=name or getattr(claim.attention, "__name__", str(claim.attention)),
        rows=tuple(rows),
        inferred=claim.inferred,
    )


def _row(claim: Claim, name: str, rule: Rule) -> Row:
    passed = 0
    failures: list[str] = []
    refusals: list[str] = []
    for case in rule.cases:
        try:
            rule.check(claim, **case)
            passed += 1
        except NotClaimed:
            continue
        except Refused as refusal:
            refusals.append(_example(case, refusal))
        except AssertionError as failure:
            failures.append(_example(case, failure))
    return Row(
        rule=name,
        promise=rule.promise,
        verdict=_verdict(passed, len(failures), len(refusals)),
        passed=passed,
        failed=len(failures),
        unsupported=len(refusals),
        example=next(iter(failures + refusals), ""),
    )


def _verdict(passed: int, failed: int, unsupported: int) -> Verdict:
    if failed:
        return "failed"
    if passed:
        return "partly" if unsupported else "passed"
    return "unsupported" if unsupported else "not claimed"


def _example(case: Case, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # torch's comparisons say how far apart two tensors are in their second line or later
    told = [line for line in lines if line.startswith("Greatest absolute")] or lines[:1]
    return ": ".join(filter(None, [describe(case), *told]))
