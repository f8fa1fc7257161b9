"""Changes that need neither a choice of heads nor any training, verified at once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from heedful.allocation.moves import LowPrecision
from heedful.allocation.plan import Plan
from heedful.allocation.precision import NARROW, WIDE, precision_of, wide_layers
from heedful.bench.timing import in_turns, ratio
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Note, Stage, Verified
from heedful.optimizing.shared_weights import share_weights

if TYPE_CHECKING:
    from heedful.optimizing.rounds import Search

STAGE = "free"
INT8, BOTH = "int8", "int8 in attention, bf16 elsewhere"
NARROWER = "int8 in narrow layers too"
TIMINGS = 3  # rounds, in turns with the original


def free_moves(search: "Search") -> Iterator[Candidate]:
    """Yield what multiplies in fewer bits, the most exact first; each keeps all of its numbers.

    First bf16 and int8 in all wide layers of the model; where int8 everywhere loses too much, int8
    in attention and bf16 elsewhere, else int8 in narrow layers too, which pays in models that run
    in one native call. Only what is faster is judged. Other goals than time gain nothing from fewer
    bits.

    Args:
        search: Whose original is changed.

    Cost:
        Some eight runs of what is timed in the end and one of the dev split for each.
    """
    judged: dict[str, Candidate] = {}
    for number, (what, plan) in enumerate(_ways(search).items(), 1):
        int8 = judged.get(INT8)
        if int8 is not None and what == (BOTH if int8.promising else NARROWER):
            continue
        candidate = search.recalled(STAGE, number) or _verified(search, plan, what, number)
        if candidate is None:
            continue
        judged[what] = candidate
        search.tell(Verified(text=what, candidate=candidate))
        yield candidate


def _ways(search: "Search") -> dict[str, Plan]:
    """Plans by their names, the most exact first; those that would change nothing are left out."""
    if search.settings.goal != "latency" or search.settings.loadable == "transformers":
        return {}  # no config of transformers says in what layers multiply
    was, model = search.original.plan.was, search.problem.model
    wide, all_of_them = (wide_layers(model, narrowest=width) for width in (WIDE, NARROW))
    ways: dict[str, Plan] = {}
    if wide:
        bf16 = Plan(was=was, linear="bf16", narrowest=WIDE)
        ways = {"bf16": bf16, INT8: replace(bf16, linear="int8")}
        lower = (LowPrecision(precision="int8"),)
        ways[BOTH] = replace(bf16, moves={site.name: lower for site in search.sites})
    if all_of_them > wide and precision_of(model) != "bf16":
        ways[NARROWER] = Plan(was=was, linear="int8", narrowest=NARROW)
    return ways


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
    ways = _ways(search)
    if not search.cut_short or search.answers.in_order or tried or not ways:
        return None
    what, plan = next(iter(ways.items()))
    candidate = _faster(search, plan, rounds=1)
    if candidate is None:
        return None
    search.tell(Note(text=f"nothing was judged in time: {what} is left to the proof"))
    return replace(candidate, divergence=search.reference.divergence(candidate.model))


def _verified(search: "Search", plan: Plan, what: str, number: int) -> Candidate | None:
    """The candidate of a plan, judged; `None` where it is no faster."""
    search.clock.check(STAGE)
    search.tell(Stage(text=f"multiplying in {what}"))
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
        "before": lambda: problem.use(problem.model),
        "after": lambda: problem.use(model),
    }
    times = in_turns(runs, rounds=rounds)
    faster = ratio(times["before"], times["after"]).median
    if faster <= 1:
        return None
    return Candidate(plan=plan, model=model, share=1 / faster, divergence=float("nan"))
