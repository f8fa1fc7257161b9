"""How long candidates may be fine-tuned, where the original is to be fine-tuned for as long."""

from collections.abc import Callable, Sequence

from heedful.optimizing.clock import Clock
from heedful.optimizing.descent import STOP
from heedful.optimizing.events import EventListener, Stage
from heedful.optimizing.finetune import Finetuning

SLOWER = 1.25  # as a rule a step of the original takes no more than so many of a candidate's


class FinetuningTime:
    """A share of the time that is left, halved where the original needs as much.

    Args:
        clock: Of the whole optimisation.
        labelled: Is there a truth to learn from? Without, the original has nothing to learn from
            itself, and needs no time.
        tell: Told how far a fine-tuning is.
    """

    def __init__(self, clock: Clock, *, labelled: bool, tell: EventListener) -> None:
        self.clock, self.tell = clock, tell
        self.as_long = SLOWER if labelled else 0.0
        self._kept = 0.0

    def steps(self, wanted: int, *, share: float, beside: bool = False) -> int:
        """Return how many steps fit into a share of what is left, at most as wanted.

        Args:
            wanted: At most.
            share: Of what is left.
            beside: Is the original fine-tuned meanwhile?
        """
        return self.clock.times(wanted, "step", share=share / (1 + self._after(beside)))

    def watched(self, steps: int, *, beside: bool = False) -> Callable[[int], object]:
        """Return what is called after each of so many steps: the last one where time is up."""
        clock, began = self.clock, self.clock.spent
        as_long = self._after(beside)

        def after(step: int) -> object:
            taken = clock.spent - began
            clock.took["step"] = taken / step
            if step % 10 == 0:
                self.tell(Stage(text="fine-tuning", done=step / steps))
            left = clock.left - as_long * taken
            return STOP if left < 2 * clock.took["dev"] else None

        return after

    def _after(self, beside: bool) -> float:
        """How much of the time of a candidate its original takes afterwards."""
        return 0.0 if beside else self.as_long

    def keep(self, trained: Sequence[Finetuning], *, done: int = 0) -> None:
        """Keep back the time in which the original is fine-tuned as a candidate was.

        Args:
            trained: All fine-tunings of the candidate; the last of them was watched.
            done: Steps of them that the original has had already.
        """
        steps = sum(each.steps for each in trained) - done
        needed = self.as_long * steps * self.clock.took.get("step", 0.0)
        self.clock.kept += max(0.0, needed - self._kept)
        self._kept = max(needed, self._kept)
