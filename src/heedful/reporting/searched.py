"""What an optimisation came to, from its report: every field may have been written by anybody."""

from collections.abc import Mapping
from typing import Any

from heedful.errors import RunError
from heedful.report.run_page.data import Cost, Search, Trial
from heedful.report.run_page.judgement import Judgement, TrainedOriginal

COSTS = ("latency_ms", "attention_operations", "parameters")
USUAL = 0.95  # confidence of reports that do not say it
Report = Mapping[str, Any] | None


def judgement_of(report: Report) -> Judgement | None:
    """Return what was judged; `None` without a report.

    Raises:
        RunError: The report is not as optimising writes it.
    """
    if report is None:
        return None
    try:
        quality = report["quality"]
        low, high = report["speedup_middle_half"]
        return Judgement(
            accepted=report["accepted"] is True,
            reason=str(report["reason"]),
            metric=str(quality["metric"]),
            before=_number(quality["before"]),
            after=_number(quality["after"]),
            bound=_number(quality["bound"]),
            confidence=float(quality.get("confidence", USUAL)),
            budget=float(quality["budget"]),
            split=quality["split"],
            examples=int(quality.get("examples", 0)),
            looks=int(report.get("test_looks", 0)),
            speedup=float(report["speedup"]),
            speedup_middle_half=(float(low), float(high)),
            goal=str(report.get("goal", "latency")),
            trained=_trained(report.get("finetuned_original")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(_damaged(error)) from None


def search_of(report: Report) -> Search | None:
    """Return the candidates that were tried; `None` where there is no report or were none.

    Raises:
        RunError: The report is not as optimising writes it.
    """
    if report is None or not report.get("rounds"):
        return None
    try:
        trials = [_trial(each, report) for each in report["rounds"]]
        quality = report["quality"]
        allowed = next(
            (each["dev"]["budget"] for each in report["rounds"] if each["dev"]), quality["budget"]
        )
        original = Trial(number=0, cost_share=1.0, difference=0.0, bound=None, kept=True)
        return Search(
            metric=str(quality["metric"]), allowed=float(allowed), trials=(original, *trials)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(_damaged(error)) from None


def costs_of(report: Report) -> tuple[Cost, ...]:
    """Return what the work takes before and after; nothing without a report.

    Raises:
        RunError: The report is not as optimising writes it.
    """
    if report is None:
        return ()
    try:
        return tuple(
            Cost(name=name, before=float(found["before"]), after=float(found["after"]))
            for name, found in ((name, report[name]) for name in COSTS)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(_damaged(error)) from None


def importance_of(report: Report) -> dict[str, list[float]]:
    """Return Fisher's score of each head, by site; nothing without a report."""
    sites = [] if report is None else report.get("sites", [])
    return {site["name"]: site["importance"] for site in sites if site.get("importance")}


def _trial(found: Mapping[str, Any], report: Mapping[str, Any]) -> Trial:
    dev = found["dev"]
    return Trial(
        number=int(found["round"]),
        cost_share=float(found["cost_share"]),
        difference=None if dev is None else _number(dev["difference"]),
        bound=None if dev is None else _number(dev["bound"]),
        kept=bool(found["promising"] if dev is None else dev["accepted"]),
        final=bool(found["final"]),
        chosen=bool(found["final"]) and found["plan"] == report["plan"],
    )


def _trained(found: Any) -> TrainedOriginal | None:
    """The original fine-tuned for as long; `None` where a sentence says why there is none."""
    if not isinstance(found, Mapping):  # also of an older version, which had nothing of it
        return None
    against: Any = found["against"]
    return TrainedOriginal(
        steps=int(found["steps"]),
        wanted=int(found["wanted"]),
        before=float(against["before"]),
        difference=float(against["difference"]),
        bound=float(against["bound"]),
        confidence=float(against["confidence"]),
        accepted=against["accepted"] is True,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _damaged(error: Exception) -> str:
    return f"the report of an optimisation must be whole, got: {error!r:.200}"
