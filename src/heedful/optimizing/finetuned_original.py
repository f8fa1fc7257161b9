"""The original after the same fine-tuning: what an optimised model must also be compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heedful.allocation.plan import unfused
from heedful.errors import TrainingError
from heedful.metrics.metric import Floats
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.descent import STOP
from heedful.optimizing.events import EventListener, Stage
from heedful.optimizing.finetune import finetune
from heedful.optimizing.rounds import Search
from heedful.optimizing.verdict import Verdict, judge

UNTRAINED = "Nothing was fine-tuned, so that the original as it was given is all to compare with."
UNLABELLED = (
    "Without labels fine-tuning imitates the original, which has nothing to learn from itself."
)
INTERRUPTED = "The original was not fine-tuned for as long: it might have gained from that as well."


@dataclass(frozen=True, kw_only=True)
class FinetunedOriginal:
    """The original with the fine-tuning that the answer had, on the test split.

    Args:
        steps: How many it was fine-tuned for.
        wanted: How many the answer was; more than `steps` where there was no time for all.
        verdict: From the fine-tuned original to the answer. It decides nothing.
    """

    steps: int
    wanted: int
    verdict: Verdict

    def __str__(self) -> str:
        """Say what became of it."""
        found, steps = self.verdict, f"{self.steps:,}"
        if self.steps < self.wanted:
            steps += f" of {self.wanted:,}"
        kept = "also within the budget" if found.accepted else "not within the budget for certain"
        return (
            f"Fine-tuned for as long ({steps} steps), the original has {found.before:.5g}: against "
            f"that the difference is {found.difference:+.4g}, no worse than {found.bound:+.4g} "
            f"with {100 * found.confidence:.4g} % confidence, {kept}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"steps": self.steps, "wanted": self.wanted, "against": self.verdict.to_json()}


def finetune_original(
    search: Search, answer: Candidate, on_event: EventListener, *, after: Floats | None = None
) -> FinetunedOriginal | str:
    """Fine-tune the original as the answer was: the same steps, batches, rates and loss.

    Its own outputs are what it imitates, so that only the truth has anything to say. Nothing is
    chosen by what comes of it, and it is no look at the test split.

    Args:
        search: Behind its verdict.
        answer: What was accepted.
        on_event: Told how far it is.
        after: Statistics of the answer on the test split; `None` means that they are not known yet.

    Returns:
        What became of it, or in a sentence why there is nothing to compare with.

    Cost:
        As long as fine-tuning the answer took, and one pass over the test split.
    """
    problem = search.problem
    if not answer.trained:
        return UNTRAINED
    if problem.truth is None:
        return UNLABELLED
    wanted, taken = sum(each.steps for each in answer.trained), 0
    on_event(Stage(text="fine-tuning the original for as long", done=0.0))
    search.clock.kept = search.clock.took.get("test", search.clock.took.get("dev", 0.0))
    beside = search.beside
    same = beside is not None and beside.trained == answer.trained
    try:
        found = beside.result() if beside is not None and same else None
        if found is not None:
            model, taken = found
        else:
            model = unfused(problem.model)
            for each in answer.trained:
                listen = _told(search, on_event, taken, wanted)
                taken += finetune(model, problem, each, on_step=listen)
        verdict = judge(
            problem.statistics(model.eval(), "test"),
            problem.statistics(answer.model, "test") if after is None else after,
            metric=problem.metric,
            budget=search.budget,
            seed=search.settings.seed,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except TrainingError as error:
        return f"Fine-tuned for as long, the original is of no use: {error}"
    return FinetunedOriginal(steps=taken, wanted=wanted, verdict=verdict)


def _told(
    search: Search, on_event: EventListener, before: int, wanted: int
) -> Callable[[int], object]:
    """What is done after each step: it is told, and the last one where time is up."""

    def after(step: int) -> object:
        if step % 10 == 0:
            done = (before + step) / wanted
            on_event(Stage(text="fine-tuning the original for as long", done=done))
        return STOP if search.clock.left < 0 else None

    return after
