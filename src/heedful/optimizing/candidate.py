"""One way to spend less in the whole model, as far as it has been tried."""

from dataclasses import dataclass

from torch import nn

from heedful.allocation.plan import Plan
from heedful.optimizing.finetune import Finetuning
from heedful.optimizing.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that was changed, and what is known of it.

    Args:
        plan: From the original to it.
        model: With its own weights, in the form of `unfused`.
        share: Of the cost of the original.
        divergence: How far its outputs are from the original's, on calibration batches.
        verdict: On the dev split; `None` where it was not asked.
        slack: How far inside the budget its bound would be on a test split, as far as dev
            tells; negative where it is outside.
        within: Does the difference on the dev split keep the budget, certain or not?
        trained: The fine-tunings behind it, with the steps that each took.
    """

    plan: Plan
    model: nn.Module
    share: float
    divergence: float
    verdict: Verdict | None = None
    slack: float = float("-inf")
    within: bool = False
    trained: tuple[Finetuning, ...] = ()

    @property
    def promising(self) -> bool:
        """Would it pass the test, if that is as the dev split?"""
        return self.slack >= 0
