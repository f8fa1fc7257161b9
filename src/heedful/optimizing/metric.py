"""Quality metrics as sums of statistics, one row an example, so that examples can be redrawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sacrebleu.metrics.base
from numpy.typing import NDArray
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor

from heedful.data.scripts import composed
from heedful.errors import ConfigError, DataError, ShapeError
from heedful.evaluation import bleu_metric

Floats = NDArray[np.float64]
Extract = Callable[[Sequence[str]], Floats]

TEXT_METRICS = ("bleu", "chrf", "exact_match")
PER_CENT = 100.0


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of many examples that depends on sums over them alone.

    Args:
        name: As budgets call it.
        combine: Scores from sums of statistics: `(draws, statistics)` to `(draws,)`. Sums that are
            all larger by one factor must give the same score: it is of a mean, not of a total.
        higher_is_better: Is a larger score a better one?
        span: The most that one example can lose, in units of the score, e.g. 1 for the share of
            right answers. `None` means: as much as lies between the best and the worst example
            seen. It matters where few examples differ: nothing else tells how bad the next may be.
        floor: What no model can score less than, where higher is better, e.g. 0 of shares. `None`
            means not known.

    Raises:
        ConfigError: `span` is not a finite number above 0.
    """

    name: str
    combine: Callable[[Floats], Floats]
    higher_is_better: bool = True
    span: float | None = None
    floor: float | None = None

    def __post_init__(self) -> None:
        if self.span is not None and not 0 < self.span < np.inf:
            raise ConfigError(f"span must be a finite number above 0, got {self.span}")

    def score(self, statistics: Floats) -> float:
        """Return the score of all examples together, from their statistics, one row an example."""
        return float(self.combine(statistics.sum(0)[None])[0])

    def influence(self, statistics: Floats, *, rows: Floats | None = None) -> Floats:
        """Return what each example contributes to the score: of a mean, its own value.

        Args:
            statistics: Of all examples.
            rows: Those of the examples asked for. `None` means all.

        Source:
            Tukey 1958, "Bias and confidence in not quite large samples" (pseudo-values).
        """
        examples, total = len(statistics), statistics.sum(0)
        whole = self.combine(total[None])
        rest = self.combine(total - (statistics if rows is None else rows))
        return whole + (examples - 1) * (whole - rest)


def ratio_metric(name: str, *, higher_is_better: bool = True, span: float | None = None) -> Metric:
    """Return a total over a size, e.g. summed loss over tokens: `sum(totals) / sum(sizes)`.

    Its statistics are `per_example(totals, sizes)`.

    Args:
        name: As budgets call it.
        higher_is_better: Is a larger score a better one?
        span: The most that one example can lose; see `Metric`.

    Raises:
        ConfigError: `span` is not a finite number above 0.
    """
    return Metric(name=name, combine=_quotient, higher_is_better=higher_is_better, span=span)


def mean_metric(name: str, *, higher_is_better: bool = True, span: float | None = None) -> Metric:
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
    values: Sequence[float] | NDArray[Any] | Tensor,
    sizes: Sequence[float] | NDArray[Any] | Tensor | None = None,
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


def text_metric(name: str, references: Sequence[str]) -> tuple[Metric, Extract]:
    """Return a metric of written texts, and what turns texts into its statistics.

    Scores are in per cent, as in `heedful.evaluation`. A text can lose all: the span is 100.

    Args:
        name: `bleu`, `chrf` or `exact_match`.
        references: What should be written, one text an example.

    Returns:
        The metric, and a function from as many texts to `(examples, statistics)`. It raises
        DataError when the texts are not as many as the references.

    Raises:
        ConfigError: There is no such metric.
        DataError: There are no references.

    Source:
        Post 2018, arXiv:1804.08771 (BLEU that can be compared); Popović 2015, W15-3049 (chrF).
    """
    if name not in TEXT_METRICS:
        raise ConfigError(f"metric must be one of {', '.join(TEXT_METRICS)}, got {name!r}")
    if not references:
        raise DataError(f"{name} must have references to compare with, got none")
    references = [composed(reference) for reference in references]
    if name == "exact_match":
        metric = replace(mean_metric(name, span=PER_CENT), floor=0.0)

        def read(texts: Sequence[str]) -> Floats:
            pairs = zip(texts, references, strict=True)
            return per_example([PER_CENT * (text == reference) for text, reference in pairs])
    else:
        scorer = CHRF() if name == "chrf" else bleu_metric(references)
        metric = corpus_metric_of(scorer, name)

        def read(texts: Sequence[str]) -> Floats:
            return _extract(scorer, texts, references)

    def statistics(texts: Sequence[str]) -> Floats:
        texts = [composed(text) for text in texts]
        if len(texts) != len(references):
            raise DataError(
                "texts must be as many as their references, "
                f"got {len(texts)} texts for {len(references)} references"
            )
        return read(texts)

    return metric, statistics


def corpus_metric_of(scorer: sacrebleu.metrics.base.Metric, name: str) -> Metric:
    """Return sacrebleu's BLEU or chrF as a metric of the statistics that it keeps of a sentence.

    Args:
        scorer: Computes every score, one for each draw.
        name: As budgets call it.

    Cost:
        About 3 microseconds for each draw with chrF, on one core.
    """
    # sacrebleu keeps these to itself, as in heedful.evaluation
    compute: Callable[[list[int]], Any] = getattr(scorer, "_compute_score_from_stats")  # noqa: B009

    def combine(sums: Floats) -> Floats:
        # its arithmetic expects whole numbers; weighted draws come between them
        whole: list[list[int]] = np.rint(sums).astype(int).tolist()
        return np.array([compute(row).score for row in whole], float)

    return Metric(name=name, combine=combine, span=PER_CENT, floor=0.0)


def _extract(
    scorer: sacrebleu.metrics.base.Metric, texts: Sequence[str], references: Sequence[str]
) -> Floats:
    extract: Callable[..., list[list[float]]] = getattr(scorer, "_extract_corpus_statistics")  # noqa: B009
    return np.array(extract(texts, [references]), float)


def _quotient(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]


def _column(name: str, values: Sequence[float] | NDArray[Any] | Tensor) -> Floats:
    given = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    try:
        column = np.asarray(given, float)
    except (TypeError, ValueError):
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
