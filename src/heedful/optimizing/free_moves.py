"""Changes that need neither a choice of heads nor any training, verified at once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from heedful.allocation.moves import LowPrecision
from heedful.allocation.plan import Plan
from heedful.allocation.precision import wide_layers
from heedful.bench.timing import in_turns, ratio
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Note, Stage, Verified
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
    if not _any(search):
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


def unjudged_move(search: "Search") -> Candidate | None:
    """The most exact of them where time was up before any was judged: the proof can do that, too.

    Args:
        search: Behind its end.

    Returns:
        The candidate without a verdict; `None` where one was tried, or it is no faster.

    Cost:
        Two to four runs of the timed work, and one of the calibration batches.
    """
    tried = STAGE in search.clock.took or search.recalled(STAGE, 1) is not None
    if not search.cut_short or search.answers.in_order or tried or not _any(search):
        return None
    candidate = _faster(search, Plan(was=search.original.plan.was, linear="bf16"), rounds=1)
    if candidate is None:
        return None
    search.tell(
        Note(text="nothing was judged in time: bf16 in all wide layers is left to the proof")
    )
    return replace(candidate, divergence=search.reference.divergence(candidate.model))


def _any(search: "Search") -> bool:
    """Can anything be won by fewer bits? No config of transformers says in what layers multiply."""
    settings = search.settings
    wanted = settings.goal == "latency" and settings.loadable != "transformers"
    return wanted and bool(wide_layers(search.problem.model))


def _verified(search: "Search", plan: Plan, what: str, number: int) -> Candidate | None:
    """The candidate of a plan, judged; `None` where it is no faster."""
    search.clock.check(STAGE)
    search.tell(Stage(text=f"{what} in all wide layers"))
    with search.clock.watch(STAGE):
        candidate = _faster(search, plan, rounds=TIMINGS)
        if candidate is None:
            return None
        candidate = search.judged(candidate)
    search.remember(STAGE, number, candidate)
    return candidate


def _faster(search: "Search", plan: Plan, *, rounds: int) -> Candidate | None:
    """The candidate of a plan, not judged; `None` where it is no faster."""
    problem = search.problem
    model = share_weights(plan.apply(problem.model).eval(), problem.model)
    runs = {
        "before": lambda: problem.work(problem.model),
        "after": lambda: problem.work(model),
    }
    times = in_turns(runs, rounds=rounds)
    faster = ratio(times["before"], times["after"]).median
    if faster <= 1:
        return None
    return Candidate(plan=plan, model=model, share=1 / faster, divergence=float("nan"))
