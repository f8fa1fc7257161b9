"""Cuts smaller than that of a round, each verified at once: small ones before large ones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Stage, Verified
from heedful.optimizing.knapsack import knapsack

if TYPE_CHECKING:
    from heedful.optimizing.prepared import Prepared
    from heedful.optimizing.rounds import Search

PARTS = (1 / 8, 1 / 4, 1 / 2)  # of the cut of a round


def small_steps(
    search: "Search", prepared: "Prepared", cut: float
) -> Iterator[tuple[float, Candidate]]:
    """Yield cuts and what they make, larger and larger, until one loses too much: the last.

    None is fine-tuned: least squares let what stays stand in for what goes.

    Args:
        search: Judges them.
        prepared: What each site can become, with costs and damages.
        cut: The share that a round takes.

    Cost:
        For each two passes over the calibration batches a changed site, and one of the dev split.
    """
    seen: set[tuple[int, ...]] = set()
    for part in PARTS:
        assignment = knapsack(prepared.table, prepared.limit(part * cut))
        if assignment is None or not any(assignment) or assignment in seen:
            continue
        seen.add(assignment)
        search.clock.check("reconstruct", "dev")
        search.tell(Stage(text=f"a cut of {part * cut:.0%}"))
        candidate = search.judged(search.candidate(prepared, assignment))
        search.tell(Verified(text=f"a cut of {part * cut:.0%}", candidate=candidate))
        yield part * cut, candidate
        if not candidate.promising:
            return


def cut_less(search: "Search") -> Iterator[Candidate]:
    """Yield smaller cuts, where all that rounds made loses too much, and the last one fine-tuned.

    Args:
        search: Behind its rounds; small steps that it took before them are not taken again.
    """
    prepared = search.prepared or search.prepare(search.base, 1)
    if prepared is None:
        return
    tried = search.small
    if not tried:
        for _, candidate in small_steps(search, prepared, search.settings.cut):
            yield candidate
            tried.append(candidate)
    if tried and not tried[-1].promising:
        yield search.finetuned(tried[-1], search.settings.finetune_steps, 20_000)
