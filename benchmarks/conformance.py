"""Which rules of attention do well-known functions keep? `heedful verify` on each, as one table."""

import platform
from importlib.metadata import PackageNotFoundError, version

from _measure import write

from heedful.errors import MissingExtraError
from heedful.testing.adapters import ADAPTERS
from heedful.testing.claims import CLAIMS
from heedful.testing.rules import RULES
from heedful.testing.verification import Report, verify

NOTES = (
    "Empty: the adapter leaves the rule out (no weights, no grouped heads, ...). Most rules are",
    "checked in float64: whoever computes a softmax in float32 inside, as transformers' eager",
    "function does, breaks them by about 1e-7, and gives NaN where the lowest number of float64",
    "becomes minus infinity.",
)
SIGNS = {"passed": "keeps", "partly": "keeps in part", "failed": "**breaks**"}
SIGNS |= {"unsupported": "refuses", "not claimed": ""}
PACKAGES = ("torch", "transformers", "entmax", "timm")


def main() -> None:
    reports: list[Report] = []
    missing: list[str] = []
    for target, make in ADAPTERS.items():
        try:
            reports.append(verify(make(), name=target))
        except MissingExtraError as error:
            missing.append(f"* `{target}`: {error}")
    ours = [verify(claim, name=name) for name, claim in CLAIMS.items()]
    broken = [report.function for report in ours if report.problem]
    lines = [f"* compared: {', '.join(map(told, PACKAGES))}, on {platform.system()}", ""]
    lines += table(reports)
    lines += ["", *NOTES, ""]
    lines += ["## The first case of each rule that is broken or refused", ""]
    for report in reports:
        lines += examples(report)
    lines += ["", "## heedful's own", ""]
    lines.append(
        f"All {len(ours)} mechanisms of `heedful.ops` go through the same rules: "
        f"{len(broken)} break one{': ' + ', '.join(broken) if broken else ''}."
    )
    if missing:
        lines += ["", "## Not looked at", "", *missing]
    write("conformance", lines)


def table(reports: list[Report]) -> list[str]:
    """A row for each function would be too wide, so a row for each rule."""
    heads = [f"[{i}]" for i, _ in enumerate(reports, 1)]
    lines = [f"* {head} `{report.function}`" for head, report in zip(heads, reports, strict=True)]
    lines += ["", f"| rule | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for index, (name, rule) in enumerate(RULES.items()):
        verdicts = [SIGNS[report.rows[index].verdict] for report in reports]
        lines.append(f"| `{name}`: {rule.promise} | {' | '.join(verdicts)} |")
    kinds = ("passed", "partly", "failed", "unsupported")
    for kind in kinds:
        counts = [str(report.count(kind)) for report in reports]
        lines.append(f"| {kind} | {' | '.join(counts)} |")
    return lines


def examples(report: Report) -> list[str]:
    rows = [row for row in report.rows if row.failed or row.unsupported]
    lines = [f"### `{report.function}`", ""]
    for row in rows:
        cases = f"{row.passed} right, {row.failed} wrong, {row.unsupported} refused"
        lines.append(f"* `{row.rule}` ({cases}): {row.example}")
    return [*lines, "" if rows else "None.", ""]


def told(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"


if __name__ == "__main__":
    main()
