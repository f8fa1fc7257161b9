"""An optimisation that ends in a folder: a model or a refusal, and its memory beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from heedful.allocation.saved_files import REPORT
from heedful.allocation.weights import weights_of
from heedful.errors import BudgetError, RunError
from heedful.files import named, read_json
from heedful.locks import check_unused
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.company import CREW, Company
from heedful.optimizing.digest import digest
from heedful.optimizing.events import EventListener, Note, ignore
from heedful.optimizing.ledger import counted
from heedful.optimizing.optimize import optimize_problem
from heedful.optimizing.outcome import Outcome, write_refusal
from heedful.optimizing.problem import Problem
from heedful.optimizing.request import Request
from heedful.optimizing.search_state import SearchState, hold_state, machine_of
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.shared_work import SharedWork
from heedful.sharing.storage import reachable

AGAIN = "With the same command"


class Opened(NamedTuple):
    """What a folder holds, as a problem.

    Args:
        problem: Of optimisation.
        source: The folder, in which each look at its test split is counted.
        splits: What makes it another search where it is another: examples by split, with `test`.
        about: What the report says first.
        write: Called with the accepted outcome and its report.
        made: How the model came about, where that is known.
    """

    problem: Problem
    source: Path
    splits: Mapping[str, Any]
    about: Mapping[str, Any]
    write: Callable[[Outcome, dict[str, Any]], None]
    made: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class IntoFolder:
    """An optimisation that ends in a folder, as it was asked for.

    Args:
        folder: New; see `check_free`.
        opened: Opens what is optimised.
        budget: What must be kept.
        settings: How far to search.
        clock: Of all of it.
        on_event: Called with every event of `heedful.optimizing.events`.
    """

    folder: Path
    opened: Callable[[], Opened]
    budget: Budget
    settings: OptimizeSettings
    clock: Clock
    on_event: EventListener = ignore


def optimize_into(asked: IntoFolder, company: Company | None = None) -> Outcome:
    """Optimise what a folder holds and write another one.

    Args:
        asked: What is opened once the new folder's search is held.
        company: Who may take part. `None` means: whoever asks for the same by `take_part`, on this
            machine or on another one that sees the folder.

    Returns:
        The accepted outcome; it is written already.

    Raises:
        BudgetError: Nothing was found that is faster and good enough; only the report is written.
        RunError: Another process optimises into this folder.
    """
    company = company or Company()
    state = SearchState(search_of(asked.folder), asked.budget, asked.settings)
    with reachable(company.storage, again=AGAIN), hold_state(state, asked.on_event):
        found = asked.opened()
        state.about |= about_of(found, asked.budget, asked.settings)
        _tell_late(asked)
        with SharedWork(state.folder / CREW, state.about, company) as shared:
            outcome = _written(asked, found, state, shared)
        if not state.forget():
            asked.on_event(Note(text=f"{state.folder} holds what no search wrote, and stays"))
    if not outcome.accepted:
        raise BudgetError(outcome.reason)
    return outcome


def _tell_late(asked: IntoFolder) -> None:
    clock = asked.clock
    if clock.spent > clock.limit / 2:
        taken = f"took {clock.spent:,.0f} seconds, where {clock.limit:,.0f}"
        text = f"reading the model and its data {taken} are for all of it"
        asked.on_event(Note(text=text))


def _written(asked: IntoFolder, found: Opened, state: SearchState, shared: SharedWork) -> Outcome:
    """What the search comes to; the model, or the report of a refusal, is written."""
    test: Any = state.about["test"]
    comparison = asked.budget.comparison
    outcome = optimize_problem(
        Request(
            problem=counted(found.problem, found.source, test, comparison, asked.on_event),
            budget=asked.budget,
            settings=asked.settings,
            listener=asked.on_event,
            state=state,
            clock=asked.clock,
            shared=shared,
        )
    )
    report = {**found.about, **outcome.report}
    if outcome.accepted:
        found.write(outcome, report)
    else:
        write_refusal(asked.folder, report)
    return outcome


def about_of(found: Opened, budget: Budget, settings: OptimizeSettings) -> dict[str, Any]:
    """Return what makes a search the same, as plain data."""
    problem = found.problem
    return {
        "budget": budget.comparison,
        "settings": settings.to_json(),
        **({} if found.made is None else {"made": found.made}),
        "model": digest(weights_of(problem.model)).hex(),
        **{name: digest(examples).hex() for name, examples in found.splits.items()},
        "machine": machine_of(problem.device) if settings.goal == "latency" else None,
    }


def output_of(source: Path, output: str | Path | None) -> Path:
    """Return the folder that what was optimised goes to."""
    path = named(source)
    path = path.with_name(f"{path.resolve().name}-optimised")
    return path if output is None else named(Path(output))


def search_of(folder: Path) -> Path:
    """Return where the search for an optimised folder is kept until it is done."""
    folder = named(folder)
    return folder.with_name(f"{folder.name}.search")


def check_free(folder: Path) -> None:
    """Check that nothing is there; the report of an earlier refusal gives way.

    Raises:
        RunError: Something else is there.
    """
    if not (folder.is_dir() and [path.name for path in folder.iterdir()] == [REPORT]):
        check_unused(folder)
    elif not _is_refusal(folder / REPORT):
        raise RunError(
            f"output must be a new or an empty folder, got {folder}, whose {REPORT} is of no "
            "optimisation that was refused"
        )


def _is_refusal(path: Path) -> bool:
    try:
        content = read_json(path)
    except RunError:
        return False
    return isinstance(content, dict) and cast(dict[str, Any], content).get("accepted") is False
