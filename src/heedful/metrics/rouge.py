"""Metrics of summaries: ROUGE-1, ROUGE-2 and ROUGE-L, of words or of Chinese characters."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

from heedful.errors import ConfigError, DataError
from heedful.metrics.metric import PER_CENT, Floats, SumMetric, per_example
from heedful.metrics.reading import Read, itself, paired

TARGET = attrgetter("target")


def rouge(size: int, *, answer: Read = itself, truth: Read = TARGET) -> SumMetric:
    """Return ROUGE-N: the F1 of runs of words that a text shares with the truth, in per cent.

    `2 shared / (runs of the answer + runs of the truth)`, and the mean over examples; an answer
    without such a run scores 0. See `words` for what a word is; no stemming.

    Args:
        size: Words of a run, 1 or more.
        answer: The text of an answer.
        truth: The text that an example should become.

    Raises:
        ConfigError: `size < 1`.
        DataError: On use: a truth has no word.

    Source:
        Lin 2004, aclanthology.org/W04-1013, section 2; F1 of both sides in place of recall.
    """
    if size < 1:
        raise ConfigError(f"size must be at least 1, got {size}")

    def shared(text: list[str], reference: list[str]) -> tuple[int, int, int]:
        one, other = (
            Counter(tuple(side[i : i + size]) for i in range(len(side) - size + 1))
            for side in (text, reference)
        )
        return (one & other).total(), one.total(), other.total()

    return _metric(f"rouge{size}", shared, answer, truth)


def rouge_l(*, answer: Read = itself, truth: Read = TARGET) -> SumMetric:
    """Return ROUGE-L: the F1 of the longest common subsequence of words, in per cent.

    Args:
        answer: The text of an answer.
        truth: The text that an example should become.

    Raises:
        DataError: On use: a truth has no word.

    Source:
        Lin 2004, aclanthology.org/W04-1013, section 3.1, with both sides weighed alike.

    Cost:
        Time of the product of both lengths, for each text.
    """

    def shared(text: list[str], reference: list[str]) -> tuple[int, int, int]:
        return common_subsequence(text, reference), len(text), len(reference)

    return _metric("rougeL", shared, answer, truth)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case: runs of letters and digits, and each character of
    a script without spaces, such as a Chinese one.
    """
    from heedful.data.scripts import composed

    return [word for word, _ in _splitter().pre_tokenize_str(composed(text.lower()))]


@cache
def _splitter() -> Any:
    from tokenizers import Regex, pre_tokenizers

    from heedful.data.scripts import UNSPACED

    word = rf"{UNSPACED}|(?:(?!{UNSPACED})[\p{{L}}\p{{M}}\p{{N}}])+"
    return pre_tokenizers.Split(Regex(word), "removed", invert=True)


def common_subsequence(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Return how long the longest sequence is that stands in both, gaps left out."""
    numbers: dict[Any, int] = {}
    first, second = (
        np.array([numbers.setdefault(item, len(numbers)) for item in side], np.int64)
        for side in (a, b)
    )
    found = np.zeros(len(second) + 1, np.int64)
    for item in first:
        better = np.maximum(found[1:], found[:-1] + (second == item))
        found = np.append(0, np.maximum.accumulate(better))
    return int(found[-1])


def _metric(
    name: str,
    shared: Callable[[list[str], list[str]], tuple[int, int, int]],
    answer: Read,
    truth: Read,
) -> SumMetric:
    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        scores: list[float] = []
        for text, reference in zip(
            *paired(answers, examples, answer=answer, truth=truth), strict=True
        ):
            both = words(text), words(reference)
            if not both[1]:
                raise DataError(f"{name} must have a truth with a word, got {reference!r:.80}")
            common, one, other = shared(*both)
            scores.append(PER_CENT * 2 * common / max(one + other, 1))
        return per_example(scores)

    return SumMetric(name=name, of=of, span=PER_CENT, floor=0.0, unit="%")
