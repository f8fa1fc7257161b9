"""The original fine-tuned as long as a candidate is: by another command, or on the second core."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self

from torch import nn

from heedful.optimizing.clock import Clock
from heedful.optimizing.finetune import Finetuning
from heedful.optimizing.finetuned_beside import FinetunedBeside, can_be_beside
from heedful.optimizing.problem import Problem
from heedful.optimizing.request import Request
from heedful.optimizing.shared_work import ORIGINAL, SharedWork


class FinetunedElsewhere:
    """The original, fine-tuned by another command: the same steps, batches, rates and loss.

    Nobody waits for it before it is needed.

    Args:
        shared: Where it is offered.
        problem: Whose original.
        trained: The fine-tunings, in their order.
        clock: It ends when there is no time left.
        before: An earlier one; it is gone on with where its fine-tunings are the first of these.

    Attributes:
        steps: How many it takes in all, where there is time.
        numbers: Of its jobs, one behind the other.
        error: Nothing: what ends it shows in its result.
    """

    error: Exception | None = None

    def __init__(
        self,
        shared: SharedWork,
        problem: Problem,
        trained: Sequence[Finetuning],
        clock: Clock,
        before: "FinetunedElsewhere | FinetunedBeside | None" = None,
    ) -> None:
        self.shared, self.problem, self.clock = shared, problem, clock
        self.trained = tuple(trained)
        self.steps = sum(each.steps for each in self.trained)
        known = before if isinstance(before, FinetunedElsewhere) else None
        if known is not None and not known.begins(self.trained):
            known = None
        self.numbers: tuple[int, ...] = () if known is None else known.numbers
        left = self.trained[0 if known is None else len(known.trained) :]
        after = self.numbers[-1] if self.numbers else None
        plain: list[dict[str, Any]] = [asdict(each) for each in left]
        self.numbers += (shared.post(ORIGINAL, clock, after=after, trained=plain),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.shared.drop(self.numbers[-1])

    def wait(self) -> None:
        """Do not: the search goes on meanwhile."""

    def begins(self, trained: Sequence[Finetuning]) -> bool:
        """Is it what these fine-tunings begin with?"""
        return tuple(trained[: len(self.trained)]) == self.trained

    def result(self) -> tuple[nn.Module, int] | None:
        """Wait for the original, fine-tuned, and its steps; `None` where nobody has done it."""
        found = self.shared.result(self.numbers[-1], self.problem, clock=self.clock)
        if found is None:
            return None
        return found.model, sum(self.shared.said(number)["steps"] for number in self.numbers)


Beside = FinetunedElsewhere | FinetunedBeside


def original_beside(
    request: Request, clock: Clock, trained: Sequence[Finetuning], before: Beside | None
) -> Beside | None:
    """Return what fine-tunes the original while a candidate is; `None` where nothing can.

    Args:
        request: Whose original.
        clock: Of the search.
        trained: The fine-tunings of the candidate.
        before: What did it before.
    """
    if not goes_beside(request):
        return None
    if request.shared is not None and request.shared.others():
        return FinetunedElsewhere(request.shared, request.problem, trained, clock, before)
    begun = before if isinstance(before, FinetunedBeside) else None
    return FinetunedBeside(request.problem, trained, clock, begun)


def goes_beside(request: Request) -> bool:
    """Is there a truth to learn from, and a command or a core that would be idle?"""
    if not request.beside or request.problem.truth is None:
        return False
    others = request.shared is not None and request.shared.others() > 0
    return others or can_be_beside(request.problem)
