"""What an optimisation came to: a model or a refusal, with everything that is known of either."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from heedful.allocation.plan import Plan
from heedful.allocation.saved_files import REPORT
from heedful.allocation.stock_folder import save_stock
from heedful.allocation.stored import save_model
from heedful.errors import BudgetError
from heedful.files import write_into, write_json
from heedful.locks import check_unused
from heedful.optimizing.verdict import Verdict

SUMMARY = (
    "accepted",
    "reason",
    "quality",
    "speedup",
    "latency_ms",
    "attention_operations",
    "parameters",
    "seconds",
    "plan",
)
QUALITY = ("metric", "before", "after", "bound", "budget")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A verdict with its evidence.

    Args:
        accepted: Is the model faster, measured, and as good as the budget asks, on the test split?
        reason: Why, in a sentence or two.
        model: The optimised model; where it was refused, the refused one, to look at.
        plan: From the original to it.
        verdict: On the test split; `None` where it was refused before it came to that.
        report: All of this and more as plain data.
    """

    accepted: bool
    reason: str
    model: nn.Module
    plan: Plan
    verdict: Verdict | None
    report: dict[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        """The part of the report that `--json` prints."""
        return summary_of(self.report)

    def save(self, folder: str | Path, *, compact: bool = True) -> None:
        """Write the model, its plan and the report; of a refused model only the report.

        Args:
            folder: New.
            compact: Of layers that multiply in few bits, write only what they multiply by: what is
                loaded says the same, bit for bit, but is fine-tuned from rounded numbers.

        Raises:
            BudgetError: It was refused; the report is there.
            RunError: The folder is not empty, or cannot be written.
        """
        folder = Path(folder)
        if not self.accepted:
            check_unused(folder)
            write_refusal(folder, self.report)
            raise BudgetError(self.reason)
        self.write(folder, compact=compact)

    def write(
        self,
        folder: Path,
        *,
        report: dict[str, Any] | None = None,
        beside: Mapping[str, bytes] | None = None,
        compact: bool = True,
    ) -> None:
        """Write what was accepted, as a plain checkpoint where that was asked for.

        Args:
            folder: New.
            report: In place of its own.
            beside: Further files by their path in the folder.
            compact: As for `save`.

        Raises:
            RunError: The folder exists, or cannot be written.
        """
        told = self.report if report is None else report
        if self.report.get("loadable") == "transformers":
            save_stock(folder, self.model, report=told, beside=beside)
        else:
            save_model(folder, self.model, self.plan, report=told, beside=beside, compact=compact)


def write_refusal(folder: Path, report: dict[str, Any]) -> None:
    """Write the report of a refusal, in place of one that may be there.

    Raises:
        RunError: The folder cannot be written.
    """
    write_into(
        folder, lambda start: write_json(start / REPORT, report), last=REPORT, holds=(REPORT,)
    )


def summary_of(report: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a report that `--json` prints."""
    quality = {name: report["quality"][name] for name in QUALITY}
    return {name: report[name] for name in SUMMARY} | {"quality": quality}
