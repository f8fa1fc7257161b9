"""Metrics of written texts: BLEU, chrF, exact match, and error rates by edit distance."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.errors import ConfigError, DataError
from heedful.metrics.metric import PER_CENT, Floats, SumMetric, per_example
from heedful.metrics.reading import Read, itself, paired

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Scorer
    from sacrebleu.metrics.bleu import BLEU

TEXT_METRICS = ("bleu", "chrf", "exact_match")
TARGET = attrgetter("target")


def bleu(*, answer: Read = itself, truth: Read = TARGET) -> SumMetric:
    """Return corpus BLEU, in per cent, with the tokeniser for what the truth is written in.

    Args:
        answer: The text of an answer.
        truth: The text that an example should become.

    Source:
        Post 2018, arXiv:1804.08771.
    """
    return _read("bleu", answer, truth)


def chrf(*, answer: Read = itself, truth: Read = TARGET) -> SumMetric:
    """Return corpus chrF2, in per cent.

    Args:
        answer: The text of an answer.
        truth: The text that an example should become.

    Source:
        Popović 2015, W15-3049.

    Cost:
        About 3 microseconds for each draw, on one core.
    """
    return _read("chrf", answer, truth)


def exact_match(*, answer: Read = itself, truth: Read = TARGET) -> SumMetric:
    """Return the share of texts that are exactly the truth, in per cent.

    Args:
        answer: The text of an answer.
        truth: The text that an example should become.
    """
    return _read("exact_match", answer, truth)


def character_error_rate(*, answer: Read = itself, truth: Read = TARGET) -> SumMetric:
    """Return the edits that make answers of the truth, over its characters, in per cent.

    Args:
        answer: The text of an answer.
        truth: The text that an example should become.

    Source:
        Levenshtein 1966, "Binary codes capable of correcting deletions, insertions and reversals".

    Cost:
        Time of the product of both lengths, for each text.
    """
    return _error_rate("character_error_rate", list, answer, truth)


def word_error_rate(*, answer: Read = itself, truth: Read = TARGET) -> SumMetric:
    """Return the edits that make answers of the truth, over its words, in per cent.

    Words stand between spaces.

    Args:
        answer: The text of an answer.
        truth: The text that an example should become.

    Source:
        Levenshtein 1966, "Binary codes capable of correcting deletions, insertions and reversals".

    Cost:
        Time of the product of both lengths, for each text.
    """
    return _error_rate("word_error_rate", str.split, answer, truth)


def text_metric(
    name: str, references: Sequence[str]
) -> tuple[SumMetric, Callable[[Sequence[str]], Floats]]:
    """Return a metric of written texts, and what turns texts into its statistics.

    Scores are in per cent. A text can lose all: the span is 100.

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
    read = _statistics(name, references)
    return _metric(name), read


def bleu_metric(references: Sequence[str]) -> "BLEU":
    """Return BLEU with the tokeniser for what the references are written in.

    `13a` finds words between spaces. Where most words are characters of a script without spaces,
    it would find one a sentence, and no model could score: Chinese has sacrebleu's `zh`, which
    parts Han characters and leaves Latin words whole, other scripts have `char`.
    """
    from sacrebleu.metrics.bleu import BLEU

    from heedful.data.scripts import unspaced_shares

    han, unspaced = unspaced_shares(references)
    if han + unspaced <= 1 / 2:
        return BLEU(tokenize="13a")
    return BLEU(tokenize="zh" if unspaced < han / 10 else "char")


def bleu_signature(references: Sequence[str]) -> str:
    """Return what BLEU is computed with, as sacrebleu writes it, so that others can compare."""
    scorer = bleu_metric(references)
    _extract(scorer, references[:1], references[:1])  # tells it how many references a text has
    return str(scorer.get_signature())


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Return the fewest insertions, deletions and replacements that make `b` of `a`.

    Args:
        a: A text, or any sequence of things that can be compared.
        b: Another one.

    Source:
        Levenshtein 1966, "Binary codes capable of correcting deletions, insertions and reversals".
    """
    numbers: dict[Any, int] = {}
    first, second = (
        np.array([numbers.setdefault(item, len(numbers)) for item in side], np.int64)
        for side in (a, b)
    )
    place = np.arange(len(second) + 1)
    costs = place
    for item in first:
        # all but insertions, then these: from any place to the left, one for each step
        better = np.append(costs[0] + 1, np.minimum(costs[1:] + 1, costs[:-1] + (second != item)))
        costs = np.minimum.accumulate(better - place) + place
    return int(costs[-1])


def _read(name: str, answer: Read, truth: Read) -> SumMetric:
    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        texts, references = paired(answers, examples, answer=answer, truth=truth)
        return _statistics(name, references)(texts)

    return _metric(name, of)


def _metric(name: str, of: Callable[..., Floats] | None = None) -> SumMetric:
    if name == "exact_match":
        return SumMetric(name=name, of=of, span=PER_CENT, floor=0.0, unit="%", share=True)
    return SumMetric(
        name=name,
        of=of,
        combine=lambda sums: _compute(_scorer(name), sums),
        span=PER_CENT,
        floor=0.0,
        unit="%",
    )


def _statistics(name: str, references: Sequence[str]) -> Callable[[Sequence[str]], Floats]:
    # a model writes composed text: references are compared in that form, however they were typed
    from heedful.data.scripts import composed

    wanted = [composed(reference) for reference in references]
    scorer = bleu_metric(wanted) if name == "bleu" else _scorer("chrf")

    def statistics(texts: Sequence[str]) -> Floats:
        written = [composed(text) for text in texts]
        if len(written) != len(wanted):
            raise DataError(
                "texts must be as many as their references, "
                f"got {len(written)} texts for {len(wanted)} references"
            )
        if name == "exact_match":
            pairs = zip(written, wanted, strict=True)
            return per_example([PER_CENT * (text == reference) for text, reference in pairs])
        return _extract(scorer, written, wanted)

    return statistics


@cache
def _scorer(name: str) -> "Scorer":
    """What makes scores of sums, whatever the tokeniser was."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return CHRF() if name == "chrf" else BLEU()


def _compute(scorer: "Scorer", sums: Floats) -> Floats:
    # sacrebleu keeps this to itself, but its own intervals assume a symmetric distribution
    compute: Callable[[list[int]], Any] = getattr(scorer, "_compute_score_from_stats")  # noqa: B009
    # its arithmetic expects whole numbers; weighted draws come between them
    whole: list[list[int]] = np.rint(sums).astype(int).tolist()
    return np.array([compute(row).score for row in whole], float)


def _extract(scorer: "Scorer", texts: Sequence[str], references: Sequence[str]) -> Floats:
    extract: Callable[..., list[list[float]]] = getattr(scorer, "_extract_corpus_statistics")  # noqa: B009
    return np.array(extract(texts, [references]), float)


def _error_rate(
    name: str, parts: Callable[[str], list[str]], answer: Read, truth: Read
) -> SumMetric:
    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        from heedful.data.scripts import composed

        texts, references = paired(answers, examples, answer=answer, truth=truth)
        pairs = [
            (parts(composed(a)), parts(composed(b))) for a, b in zip(texts, references, strict=True)
        ]
        if not any(b for _, b in pairs):
            raise DataError(f"{name} must have a truth that is not empty, got {len(pairs)} empty")
        return np.array([[PER_CENT * edit_distance(a, b), len(b)] for a, b in pairs], float)

    return SumMetric(name=name, of=of, higher_is_better=False, unit="%")
