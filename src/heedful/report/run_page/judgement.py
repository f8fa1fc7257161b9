"""What an optimisation came to, as the page of a run says it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainedOriginal:
    """The original after the fine-tuning that the optimised model had: the fairer comparison.

    Args:
        steps: How many it was fine-tuned for.
        wanted: How many the optimised model was.
        before: Its score on the test split.
        difference: From that to the score of the optimised model.
        bound: What the difference is, with this confidence, no worse than.
        confidence: A share.
        accepted: Does the budget hold against it as well, for certain?
    """

    steps: int
    wanted: int
    before: float
    difference: float
    bound: float
    confidence: float
    accepted: bool


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What an optimisation came to.

    Args:
        accepted: Is it faster, and as good as the budget asks?
        reason: As `report.json` says it.
        metric: That the budget is about.
        before: Its score of the original; `None` where nothing was judged.
        after: Its score of the optimised model.
        bound: What the difference is, with this confidence, no worse than.
        confidence: A share.
        budget: The difference that is still fine.
        split: Which examples it was judged on.
        examples: How many.
        looks: How often that split was judged on so far.
        speedup: How many times faster, measured in turns.
        speedup_middle_half: Between what half of the turns lie.
        goal: What was to be saved.
        trained: The original fine-tuned for as long; `None` where there is none to compare with.
    """

    accepted: bool
    reason: str
    metric: str
    before: float | None
    after: float | None
    bound: float | None
    confidence: float
    budget: float
    split: str | None
    examples: int
    looks: int
    speedup: float
    speedup_middle_half: tuple[float, float]
    goal: str
    trained: TrainedOriginal | None = None
