"""What is asked of a search: a model to spend less of, a budget, and the time for it."""

from dataclasses import dataclass, field

from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import EventListener, ignore
from heedful.optimizing.problem import Problem
from heedful.optimizing.search_state import SearchState
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.shared_work import SharedWork


@dataclass(frozen=True, kw_only=True)
class Request:
    """One optimisation, as it was asked for.

    Args:
        problem: What is optimised.
        budget: What must be kept.
        settings: How much work it may take.
        listener: Told what happens.
        state: Of an earlier part of this search, and for a later one; `None` means none.
        clock: Of all of it. As a rule one of as many minutes as the settings say, from now on.
        shared: What other commands may do of it; `None` means nothing.
        beside: May the original be fine-tuned while a candidate is?
    """

    problem: Problem
    budget: Budget
    settings: OptimizeSettings
    listener: EventListener = ignore
    state: SearchState | None = None
    clock: Clock = field(default_factory=Clock)
    shared: SharedWork | None = None
    beside: bool = True

    def gather(self) -> None:
        """Wait until the commands are ready that this one has started, where it has."""
        if self.shared is not None:
            self.shared.gather()
