"""The candidate that comes next where this one fails, fine-tuned by another command meanwhile."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heedful.optimizing.candidate import Candidate
from heedful.optimizing.shared_work import FINAL

if TYPE_CHECKING:
    from heedful.optimizing.rounds import Search


@dataclass(frozen=True)
class _Begun:
    candidate: Candidate
    number: int
    job: int


class Ahead:
    """What is fine-tuned for long before anybody knows whether it is needed.

    Args:
        search: That may need it.
    """

    def __init__(self, search: "Search") -> None:
        self._search = search
        self._begun: _Begun | None = None

    def begin(self, candidate: Candidate | None, number: int) -> None:
        """Let a command do it that would be idle: one more than is busy with the original.

        Args:
            candidate: That would come next; `None` where nothing would.
            number: Of its long fine-tuning, of which its batches depend.
        """
        search, shared = self._search, self._search.request.shared
        busy = 0 if search.problem.truth is None else 1
        if candidate is None or shared is None or shared.others() <= busy:
            return
        job = shared.post(FINAL, search.clock, candidate, number=number)
        self._begun = _Begun(candidate, number, job)

    def collect(self, candidate: Candidate, number: int) -> Candidate | None:
        """Return what came of it; `None` where it was not begun, and what was begun is dropped."""
        begun, self._begun = self._begun, None
        shared = self._search.request.shared
        if begun is None or shared is None:
            return None
        if begun.candidate is not candidate or begun.number != number:
            shared.drop(begun.job)
            return None
        found = shared.result(begun.job, self._search.problem, clock=self._search.clock)
        if found is not None:
            self._search.answers.add(found)
        return found
