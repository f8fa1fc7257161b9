"""The candidates that may become the answer: few, for each holds a model."""

from heedful.allocation.moves import LowPrecision
from heedful.allocation.plan import Plan
from heedful.optimizing.candidate import Candidate


class Answers:
    """What promises to pass the test, with what to fall back to where the best does not.

    Kept are the one that costs the least, the one that loses the least as far as dev tells, and
    what was changed without any training or choice.
    """

    def __init__(self) -> None:
        self._kept: list[Candidate] = []

    def add(self, candidate: Candidate) -> None:
        """Keep a candidate that was judged, where it may be of use; let go of what it surpasses."""
        if not candidate.promising or candidate.share >= 1:
            return
        known = [*(each for each in self._kept if each is not candidate), candidate]
        useful = {
            id(min(known, key=lambda each: each.share)),
            id(max(known, key=lambda each: each.slack)),
        }
        self._kept = [each for each in known if id(each) in useful or is_free(each.plan)]

    def only(self, candidate: Candidate) -> None:
        """Keep one that was not judged, where there is no other."""
        self._kept = self._kept or [candidate]

    @property
    def in_order(self) -> list[Candidate]:
        """Those that are kept, by rising cost; the next one is for where the one before fails."""
        return sorted(self._kept, key=lambda each: each.share)


def is_free(plan: Plan) -> bool:
    """Does a plan only multiply in fewer bits?"""
    return all(isinstance(move, LowPrecision) for moves in plan.moves.values() for move in moves)
