"""How many explanations of many examples pass, with its interval."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from heedful.errors import DataError
from heedful.explaining.explanation import Explanation, NotExplainable, Word
from heedful.metrics.interval import wilson


@dataclass(frozen=True, kw_only=True)
class PassRate:
    """What a method is worth on a data set, not on a chosen example.

    Args:
        share: Of the explanations that were tested, as many are verified.
        interval: The 95 % interval of that.
        tested: How many were tested.
        words: How many got each word; those that were not tested, too.
        not_explainable: Why examples have no explanation, and how many; they are in no share.
    """

    share: float
    interval: tuple[float, float]
    tested: int
    words: dict[Word, int]
    not_explainable: dict[str, int] = field(default_factory=dict[str, int])

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def pass_rate(explanations: Iterable[Explanation | NotExplainable]) -> PassRate:
    """Return the share of explanations that are verified.

    Those that are inconclusive were tested, and did not pass.

    Args:
        explanations: One an example, of examples that were not chosen by them.

    Raises:
        DataError: None of them was tested, or there is none.

    Source:
        The interval is Wilson's; see `heedful.metrics.interval.wilson`.
    """
    found, reasons = Counter[Word](), Counter[str]()
    for each in explanations:
        if isinstance(each, NotExplainable):
            reasons[each.reason] += 1
        else:
            found[each.word] += 1
    if reasons and not found:
        raise DataError(f"an example must be explainable, got none of {_told(reasons)}")
    tested = found.total() - found["not tested"]
    if not tested:
        raise DataError(f"an explanation must be tested, got {found['not tested']} that are not")
    return PassRate(
        share=found["verified"] / tested,
        interval=wilson(found["verified"], tested),
        tested=tested,
        words={word: found[word] for word in get_args(Word)},
        not_explainable=dict(reasons.most_common()),
    )


def _told(reasons: Counter[str]) -> str:
    """How many examples, and why in the most frequent case, e.g. `3, most often: …`."""
    [(reason, _)] = reasons.most_common(1)
    often = ", most often" if len(reasons) > 1 else ""
    return f"{reasons.total()}{often}: {reason}"
