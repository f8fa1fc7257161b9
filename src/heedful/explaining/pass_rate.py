"""How many explanations of many examples pass, with its interval."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, get_args

from heedful.errors import DataError
from heedful.explaining.explanation import Explanation, Word
from heedful.metrics.interval import wilson


@dataclass(frozen=True, kw_only=True)
class PassRate:
    """What a method is worth on a data set, not on a chosen example.

    Args:
        share: Of the explanations that were tested, as many are verified.
        interval: The 95 % interval of that.
        tested: How many were tested.
        words: How many got each word; those that were not tested, too.
    """

    share: float
    interval: tuple[float, float]
    tested: int
    words: dict[Word, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def pass_rate(explanations: Iterable[Explanation]) -> PassRate:
    """Return the share of explanations that are verified.

    Those that are inconclusive were tested, and did not pass.

    Args:
        explanations: One an example, of examples that were not chosen by them.

    Raises:
        DataError: None of them was tested.

    Source:
        The interval is Wilson's; see `heedful.metrics.interval.wilson`.
    """
    found = Counter(explanation.word for explanation in explanations)
    tested = found.total() - found["not tested"]
    if not tested:
        raise DataError(f"an explanation must be tested, got {found['not tested']} that are not")
    return PassRate(
        share=found["verified"] / tested,
        interval=wilson(found["verified"], tested),
        tested=tested,
        words={word: found[word] for word in get_args(Word)},
    )
