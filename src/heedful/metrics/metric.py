"""What a metric is: statistics of one row an example, and scores of examples drawn anew."""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from heedful.errors import ConfigError, DataError, ShapeError, UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Chosen = NDArray[np.int64] | NDArray[np.bool_]
Extract = Callable[[Sequence[Any], Sequence[Any]], Floats]

PER_CENT = 100.0
# Weights held at a time, so that many examples need no more memory.
CELLS = 1 << 20


def quotient(sums: Floats) -> Floats:
    """Return the first sum over the second one, not a number where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[:, 0] / sums[:, 1]


@dataclass(frozen=True, kw_only=True)
class Metric(abc.ABC):
    """A score of many examples: `SumMetric` or `WeightedMetric`.

    One metric serves the scores of the dev split, `heedful.evaluate` with its intervals, the
    verdict of `heedful.optimize` and the limit of `heedful.tune`.

    Args:
        name: As budgets and limits call it.
        of: Answers and their examples to statistics, `(examples, columns)`. `None` means that
            these come from elsewhere.
        higher_is_better: Is a larger score a better one?
        span: The most that one example can lose, in units of the score, e.g. 1 for the share of
            right answers. `None` means: as much as lies between the best and the worst example
            seen. It matters where few examples differ: nothing else tells how bad the next may be.
        floor: What no model can score less than, where higher is better, e.g. 0 of shares. `None`
            means not known. With `span` it is the range of the score.
        unit: What stands behind the number, e.g. `%`.
        share: Is each example right or wrong, and the score the share of the right ones? Then its
            interval is Wilson's where few are right or few are wrong.
        distance: Is it a distance between two clouds of examples, which is never below 0 and larger
            in resamples, where examples are repeated? Then its interval lies around the score.
        reads: Are its statistics made of answers, or of rows, e.g. the tokens of a text given the
            true ones before?

    Raises:
        ConfigError: `span` is not a finite number above 0, or a share has no span or no floor.
    """

    name: str
    of: Extract | None = None
    higher_is_better: bool = True
    span: float | None = None
    floor: float | None = None
    unit: str = ""
    share: bool = False
    distance: bool = False
    reads: Literal["answers", "rows"] = "answers"

    def __post_init__(self) -> None:
        if self.span is not None and not 0 < self.span < np.inf:
            raise ConfigError(f"span must be a finite number above 0, got {self.span}")
        if self.share and (self.span is None or self.floor is None):
            raise ConfigError(
                f"a share must have a span and a floor, got span {self.span}, floor {self.floor}"
            )

    @abc.abstractmethod
    def score(self, statistics: Floats) -> float:
        """Return the score of all examples together, from their statistics, one row an example."""

    @abc.abstractmethod
    def scores(self, statistics: Floats, *, weights: Floats) -> Floats:
        """Return a score for each draw, of examples that weigh differently in each.

        Args:
            statistics: Of all examples, `(examples, columns)`.
            weights: How much each example counts in each draw, `(draws, examples)`.
        """

    @abc.abstractmethod
    def alone(self, statistics: Floats) -> Floats:
        """Return the score of each example alone, not a number where it has none."""

    @abc.abstractmethod
    def without(self, statistics: Floats, *, rows: Chosen) -> Floats:
        """Return the score of all examples but one, for each one of `rows`."""

    def influence(self, statistics: Floats, *, rows: Chosen | None = None) -> Floats:
        """Return what each example contributes to the score: of a mean, its own value.

        Args:
            statistics: Of all examples.
            rows: Which examples are asked for, as numbers or as a mask. `None` means all.

        Source:
            Tukey 1958, "Bias and confidence in not quite large samples" (pseudo-values).
        """
        examples = len(statistics)
        whole = self.score(statistics)
        rest = self.without(statistics, rows=np.arange(examples) if rows is None else rows)
        return whole + (examples - 1) * (whole - rest)

    def statistics(self, answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        """Return the statistics of answers to examples, one row an example.

        Raises:
            UnsupportedError: The metric does not read answers.
            DataError: There are none, or not as many of both.
        """
        if self.of is None:
            raise UnsupportedError(
                f"{self.name} must be given its statistics, got answers, which it does not read"
            )
        return self.of(answers, examples)


@dataclass(frozen=True, kw_only=True)
class SumMetric(Metric):
    """A score that depends on sums over examples alone, e.g. a mean, BLEU or a Fréchet distance.

    Args:
        combine: Scores from sums of statistics: `(draws, columns)` to `(draws,)`. Sums that are
            all larger by one factor must give the same score: it is of a mean, not of a total.
            The default divides the first sum by the second one.
    """

    combine: Callable[[Floats], Floats] = quotient

    def score(self, statistics: Floats) -> float:
        """Return the score of all examples together."""
        return float(self.combine(statistics.sum(0)[None])[0])

    def scores(self, statistics: Floats, *, weights: Floats) -> Floats:
        """Return a score for each draw."""
        return self.combine(weights @ statistics)

    def alone(self, statistics: Floats) -> Floats:
        """Return the score of each example alone."""
        return self.combine(statistics)

    def without(self, statistics: Floats, *, rows: Chosen) -> Floats:
        """Return the score of all examples but one."""
        return self.combine(statistics.sum(0) - statistics[rows])


@dataclass(frozen=True, kw_only=True)
class WeightedMetric(Metric):
    """A score that is no function of sums, e.g. of ranks: examples are compared with each other.

    Args:
        combine: Scores from all statistics, `(examples, columns)`, and the weights of the examples
            in each draw, `(draws, examples)`. Weights that are all larger by one factor must give
            the same score, and a weight of 2 that of an example that is there twice.
    """

    combine: Callable[[Floats, Floats], Floats]

    def score(self, statistics: Floats) -> float:
        """Return the score of all examples together."""
        return float(self.combine(statistics, np.ones((1, len(statistics))))[0])

    def scores(self, statistics: Floats, *, weights: Floats) -> Floats:
        """Return a score for each draw."""
        return self.combine(statistics, weights)

    def alone(self, statistics: Floats) -> Floats:
        """Return the score of each example alone."""
        one = np.ones((1, 1))
        return np.array([self.combine(row[None], one)[0] for row in statistics], float)

    def without(self, statistics: Floats, *, rows: Chosen) -> Floats:
        """Return the score of all examples but one."""
        examples = len(statistics)
        numbers = np.arange(examples)[rows]
        found = [np.empty(0)]
        for part in np.split(numbers, range(0, len(numbers), max(1, CELLS // examples)))[1:]:
            weights = np.ones((len(part), examples))
            weights[np.arange(len(part)), part] = 0
            found.append(self.combine(statistics, weights))
        return np.concatenate(found)


def ratio_metric(
    name: str, *, higher_is_better: bool = True, span: float | None = None
) -> SumMetric:
    """Return a total over a size, e.g. summed loss over tokens: `sum(totals) / sum(sizes)`.

    Its statistics are `per_example(totals, sizes)`.

    Args:
        name: As budgets call it.
        higher_is_better: Is a larger score a better one?
        span: The most that one example can lose; see `Metric`.

    Raises:
        ConfigError: `span` is not a finite number above 0.
    """
    return SumMetric(name=name, higher_is_better=higher_is_better, span=span)


def mean_metric(
    name: str, *, higher_is_better: bool = True, span: float | None = None
) -> SumMetric:
    """Return the mean of one number for each example: a ratio whose sizes are all 1.

    Its statistics are `per_example(values)`.

    Args:
        name: As budgets call it.
        higher_is_better: Is a larger score a better one?
        span: The most that one example can lose; see `Metric`.

    Raises:
        ConfigError: `span` is not a finite number above 0.
    """
    return ratio_metric(name, higher_is_better=higher_is_better, span=span)


def per_example(
    values: "Sequence[float] | NDArray[Any] | Tensor",
    sizes: "Sequence[float] | NDArray[Any] | Tensor | None" = None,
) -> Floats:
    """Return the statistics of a mean or a ratio, one row `(value, size)` an example.

    Args:
        values: One number for each example: its quality or, with `sizes`, a total over its parts.
        sizes: How many parts each example has, e.g. its tokens. `None` means 1 each.

    Raises:
        ShapeError: `values` or `sizes` is a single number or has several for each example, or
            there are not as many of both.
        DataError: There is none, or one is not a finite number, or a size is not above 0.
    """
    column = _column("values", values)
    if sizes is None:
        return np.stack([column, np.ones_like(column)], axis=1)
    size = _column("sizes", sizes)
    if len(size) != len(column):
        raise ShapeError(
            f"values and sizes must be as many, got {len(column)} values and {len(size)} sizes"
        )
    if size.min() <= 0:
        row = int(size.argmin())
        raise DataError(f"every size must be above 0, got {size[row]:g} for example {row}")
    return np.stack([column, size], axis=1)


def _column(name: str, values: "Sequence[float] | NDArray[Any] | Tensor") -> Floats:
    # a tensor, known by what it can do: this file must load without torch
    detach = getattr(values, "detach", None)
    given = values if detach is None else detach().cpu().double().numpy()
    try:
        column = np.asarray(given, float)
    except (OverflowError, TypeError, ValueError):
        raise DataError(
            f"{name} must be numbers, one for each example, got {type(values).__name__} "
            "with something else"
        ) from None
    if column.ndim == 0:
        raise ShapeError(
            f"{name} must hold one number for each example, got the single number {column:g}: "
            "one number for all of them cannot be verified, for nothing tells how it would vary"
        )
    if column.ndim > 1:
        raise ShapeError(
            f"{name} must hold one number for each example, got an array of shape {column.shape}"
        )
    if not column.size:
        raise DataError(f"{name} must hold one number for each example, got none")
    if not np.isfinite(column).all():
        row = int(np.isfinite(column).argmin())
        raise DataError(f"{name} must be finite, got {column[row]} for example {row}")
    return column
