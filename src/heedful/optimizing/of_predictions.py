"""The verdict of an optimisation on two files of predictions, whoever made them."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from heedful.errors import ConfigError, DataError, RunError
from heedful.files import read_whole
from heedful.metrics.classification import accuracy
from heedful.metrics.metric import Floats, Metric, mean_metric, per_example
from heedful.metrics.reading import itself
from heedful.metrics.texts import (
    bleu,
    character_error_rate,
    chrf,
    exact_match,
    word_error_rate,
)
from heedful.optimizing.budget import LOWER_IS_BETTER, Budget, as_budget
from heedful.optimizing.looks import confidence_of_look
from heedful.optimizing.verdict import Verdict, judge
from heedful.texts import as_float

LARGEST = 1 << 32  # bytes of a file
ERRORS = ("character_error_rate", "word_error_rate", "error")
METRICS: Mapping[str, Callable[..., Metric]] = {
    "accuracy": accuracy,
    "bleu": bleu,
    "character_error_rate": character_error_rate,
    "chrf": chrf,
    "exact_match": exact_match,
    "word_error_rate": word_error_rate,
}
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One file: its rows, by their ids or, where no row has one, in their order."""

    path: Path
    rows: Mapping[str, Row]
    named: bool


def judge_predictions(
    before: str | Path,
    after: str | Path,
    *,
    lose: str | Budget,
    span: float | None = None,
    look: int = 1,
    seed: int = 0,
) -> Verdict:
    """Judge whether what was changed answers as well as the original, by two files of JSON lines.

    A line holds a number, `{"score": 0.8}`, or a prediction with its reference, `{"prediction":
    "...", "reference": "..."}`, from which the metric of the budget is computed; the references may
    stand in either file. Lines are compared by their `"id"` or, where none has one, in their order.

    Args:
        before: Of the original.
        after: Of what it became, on the same examples.
        lose: What may be lost, e.g. `chrf 0.5`, `score 0.02` or, of what should be low,
            `score +0.02`.
        span: The most that the score of one example can lose. `None` means as the metric says, or
            as much as lies between the best and the worst score seen.
        look: Which look at these examples this is, from 1; each must be surer than the one before.
        seed: Of the draws.

    Raises:
        ConfigError: The budget cannot be read, its metric is unknown, `look` is below 1, or `span`
            is not above 0.
        DataError: A line is no such object, or the files are not of the same examples, or there
            are too few.
        RunError: A file cannot be read.

    Source:
        See `judge` and `confidence_of_look`.
    """
    budget = as_budget(lose, lower_is_better=(*LOWER_IS_BETTER, *ERRORS))
    sides = _paired(_side(Path(before)), _side(Path(after)))
    metric, statistics = _measured(sides, budget)
    if span is not None:
        if not (math.isfinite(span) and span > 0):
            raise ConfigError(f"span must be a finite number above 0, got {span}")
        metric = replace(metric, span=span)
    return judge(
        *statistics, metric=metric, budget=budget, confidence=confidence_of_look(look), seed=seed
    )


def _side(path: Path) -> _Side:
    if not path.exists():
        raise RunError(f"predictions must be in a file that exists, got {path}")
    rows: list[Row] = []
    for number, line in enumerate(read_whole(path, most=LARGEST).splitlines(), 1):
        if line.strip():
            rows.append(_row(line, f"{path} line {number}"))
    if not rows:
        raise DataError(f"{path} must hold a prediction a line, got none")
    named = ["id" in row for row in rows]
    if any(named) and not all(named):
        first = named.index(False) + 1
        raise DataError(f"each line of {path} must have an id or none, got none in line {first}")
    keys = [str(row["id"]) if all(named) else str(number) for number, row in enumerate(rows, 1)]
    found = dict(zip(keys, rows, strict=True))
    if len(found) < len(rows):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"each id of {path} must stand there once, got {twice!r:.80} again")
    return _Side(path=path, rows=found, named=all(named))


def _row(line: bytes, where: str) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} must be a JSON object, got: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{where} must be a JSON object, got {found!r:.80}")
    return cast(Row, found)


def _paired(before: _Side, after: _Side) -> tuple[_Side, _Side]:
    """Both sides, the second one in the order of the first."""
    if before.named != after.named:
        one, other = (before, after) if before.named else (after, before)
        raise DataError(
            f"both files must have ids or neither, got ids in {one.path} and none in {other.path}"
        )
    for one, other in ((before, after), (after, before)):
        missing = [key for key in one.rows if key not in other.rows]
        if missing:
            what = f"id {missing[0]!r:.80}" if one.named else f"line {missing[0]}"
            raise DataError(
                f"both files must be of the same examples, got {len(missing):,} of {one.path} that "
                f"{other.path} lacks, the first with {what}"
            )
    return before, replace(after, rows={key: after.rows[key] for key in before.rows})


def _measured(sides: tuple[_Side, _Side], budget: Budget) -> tuple[Metric, tuple[Floats, Floats]]:
    """The metric, and the statistics of both sides."""
    has_scores = ["score" in next(iter(side.rows.values())) for side in sides]
    if all(has_scores):
        metric = mean_metric(budget.metric, higher_is_better=budget.higher_is_better)
        before, after = (per_example(_scores(side)) for side in sides)
        return metric, (before, after)
    if budget.metric not in METRICS:
        names = ", ".join(METRICS)
        raise ConfigError(
            f"the budget must be of a metric of predictions, {names}, or each line must hold a "
            f"score, got {budget.metric}"
        )
    metric = METRICS[budget.metric](truth=itself)
    references = _references(sides)
    before, after = (metric.statistics(_column(side, "prediction"), references) for side in sides)
    return metric, (before, after)


def _scores(side: _Side) -> list[float]:
    found: list[float] = []
    for key, row in side.rows.items():
        score = row.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise DataError(f"score must be a number, got {score!r:.80} in {_where(side, key)}")
        number = as_float(score)
        if not math.isfinite(number):
            raise DataError(f"score must be finite, got {number} in {_where(side, key)}")
        found.append(number)
    return found


def _column(side: _Side, name: str) -> list[str]:
    for key, row in side.rows.items():
        if not isinstance(row.get(name), str | int):
            raise DataError(
                f"{name} must be a text or a label, got {row.get(name)!r:.80} in "
                f"{_where(side, key)}"
            )
    return [str(row[name]) for row in side.rows.values()]


def _references(sides: tuple[_Side, _Side]) -> list[str]:
    holding = [side for side in sides if any("reference" in row for row in side.rows.values())]
    if not holding:
        raise DataError(
            f"lines must hold a score, or a prediction and in one file a reference, got neither in "
            f"{sides[0].path}"
        )
    found = [_column(side, "reference") for side in holding]
    for key, *both in zip(sides[0].rows, *found, strict=True):
        if len(set(both)) > 1:
            raise DataError(
                f"both files must have the same references, got two for {_where(sides[0], key)}"
            )
    return found[0]


def _where(side: _Side, key: str) -> str:
    return f"{side.path} id {key!r:.80}" if side.named else f"{side.path} example {key}"
