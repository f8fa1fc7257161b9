"""Changes that need neither a choice of heads nor any training, verified at once."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heedful.allocation.moves import LowPrecision
from heedful.allocation.plan import Plan
from heedful.allocation.precision import wide_layers
from heedful.bench.timing import in_turns, ratio
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Stage, Verified
from heedful.optimizing.shared_weights import share_weights

if TYPE_CHECKING:
    from heedful.optimizing.rounds import Search

STAGE = "free"
TIMINGS = 3  # rounds, in turns with the original


def free_moves(search: "Search") -> Iterator[Candidate]:
    """Yield what multiplies in fewer bits, the most exact first; each keeps all of its numbers.

    First bf16 and int8 in all wide layers of the model; where int8 everywhere loses too much, int8
    in attention and bf16 elsewhere. Only what is faster is judged. Other goals than time gain
    nothing from fewer bits.

    Args:
        search: Whose original is changed.

    Cost:
        Some five runs of the timed work and one of the dev split for each.
    """
    if search.settings.loadable == "transformers":
        return  # no config says in what single layers multiply
    if search.settings.goal != "latency" or not wide_layers(search.problem.model):
        return
    was, sites = search.original.plan.was, search.sites
    bf16, int8 = (Plan(was=was, linear=precision) for precision in ("bf16", "int8"))
    lower = LowPrecision(precision="int8")
    both = Plan(was=was, linear="bf16", moves={site.name: (lower,) for site in sites})
    ways = {"bf16": bf16, "int8": int8, "int8 in attention, bf16 elsewhere": both}
    enough = False
    for number, (what, plan) in enumerate(ways.items(), 1):
        if plan is both and enough:
            return
        candidate = search.recalled(STAGE, number) or _verified(search, plan, what, number)
        if candidate is None:
            continue
        search.tell(Verified(text=what, candidate=candidate))
        yield candidate
        enough = candidate.promising and plan is int8


def _verified(search: "Search", plan: Plan, what: str, number: int) -> Candidate | None:
    """The candidate of a plan, judged; `None` where it is no faster."""
    problem = search.problem
    search.clock.check(STAGE)
    search.tell(Stage(text=f"{what} in all wide layers"))
    with search.clock.watch(STAGE):
        model = share_weights(plan.apply(problem.model).eval(), problem.model)
        runs = {
            "before": lambda: problem.work(problem.model),
            "after": lambda: problem.work(model),
        }
        times = in_turns(runs, rounds=TIMINGS)
        faster = ratio(times["before"], times["after"])
        if faster.median <= 1:
            return None
        share = 1 / faster.median
        candidate = Candidate(plan=plan, model=model, share=share, divergence=float("nan"))
        candidate = search.judged(candidate)
    search.remember(STAGE, number, candidate)
    return candidate
