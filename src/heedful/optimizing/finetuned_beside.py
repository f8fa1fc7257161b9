"""The original fine-tuned on the second core, while a candidate is fine-tuned on the first."""

import threading
from collections.abc import Sequence
from typing import Self, cast

import torch
from torch import nn

from heedful.allocation.plan import unfused
from heedful.optimizing.clock import Clock
from heedful.optimizing.descent import STOP
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.problem import Problem


class FinetunedBeside:
    """The original, fine-tuned in a thread of its own: the same steps, batches, rates and loss.

    Small models gain little from a second thread in their products, and a lot from one that trains
    another model. Each has half of the threads meanwhile.

    Args:
        problem: Whose original. Its passes must not ask a clock, for they end no search here.
        trained: The fine-tunings, in their order.
        clock: It ends when there is no time left.
        before: An earlier one, left as it is; a copy goes on with it where its fine-tunings are the
            first of these.

    Attributes:
        model: The original, as far as it is fine-tuned.
        steps: How many it has taken.
        error: What ended it.
    """

    def __init__(
        self,
        problem: Problem,
        trained: Sequence[Finetuning],
        clock: Clock,
        before: "FinetunedBeside | None" = None,
    ) -> None:
        self.problem, self.trained, self.clock = problem, tuple(trained), clock
        known = before if before is not None and before.begins(self.trained) else None
        self.model: nn.Module = unfused(problem.model if known is None else known.model)
        self.steps, self.error = 0 if known is None else known.steps, cast(Exception | None, None)
        self._left = self.trained[0 if known is None else len(known.trained) :]
        self._threads, self._stopped = torch.get_num_threads(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        torch.set_num_threads(max(1, self._threads // 2))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it behind the step that it is at, unless it was waited for."""
        self._stopped.set()
        self._thread.join()
        torch.set_num_threads(self._threads)

    def wait(self) -> None:
        """Let it come to its end."""
        self._thread.join()

    def begins(self, trained: Sequence[Finetuning]) -> bool:
        """Was all of it done, and is it what these fine-tunings begin with?"""
        whole = self.steps == sum(each.steps for each in self.trained)
        return whole and tuple(trained[: len(self.trained)]) == self.trained

    def result(self) -> tuple[nn.Module, int]:
        """Return the original as far as it is fine-tuned, and the steps that took."""
        return self.model, self.steps

    def _run(self) -> None:
        try:
            for each in self._left:
                self.steps += finetune(self.model, self.problem, each, on_step=self._after)
        except Exception as error:  # whoever waits for it reads it
            self.error = error

    def _after(self, step: int) -> object:
        late = self.clock.left < 2 * self.clock.took.get("dev", 0.0)  # what follows must fit, too
        return STOP if self._stopped.is_set() or late else None


def can_be_beside(problem: Problem) -> bool:
    """Is there a truth to learn from, and a core that would be idle?"""
    on_cpu = problem.device.type == "cpu"
    return problem.truth is not None and on_cpu and torch.get_num_threads() > 1
