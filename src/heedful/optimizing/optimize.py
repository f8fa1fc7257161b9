"""`heedful.optimize`: a quality budget in, the fastest verified model out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from heedful.allocation.moves import Move
from heedful.allocation.moves.named import name_of
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.optimizing.budget import Budget, as_budget, budget_of_keep
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import (
    EventListener,
    Note,
    OptimizeEvent,
    RoundDone,
    Verified,
    ignore,
)
from heedful.optimizing.evidence import AS_GIVEN, Evidence, round_of, step_of
from heedful.optimizing.finetuned_elsewhere import FinetunedElsewhere
from heedful.optimizing.finetuned_original import FinetunedOriginal, finetune_original
from heedful.optimizing.free_moves import unjudged_move
from heedful.optimizing.loadable import as_plain, check_loadable
from heedful.optimizing.of_model import ModelSpec, Quality, identity, problem_of_model
from heedful.optimizing.optimize_data import OptimizeData
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.problem import Problem
from heedful.optimizing.proof import Proof, decisive, fits, keep_time_for_proof, prove
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search
from heedful.optimizing.sample_size import required_examples
from heedful.optimizing.search_state import SearchState, hold_state, machine_of
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.unfused import unfused_divergence, why_unfused_differs
from heedful.optimizing.verdict import FEWEST_EXAMPLES
from heedful.probing.unsupported import kinds_of
from heedful.renamed import old_keywords


@old_keywords(training="spec", keep=("lose", budget_of_keep))
def optimize(
    model: nn.Module,
    *,
    data: OptimizeData,
    quality: Quality,
    lose: float | str | Budget,
    settings: OptimizeSettings | None = None,
    spec: ModelSpec | None = None,
    moves: Sequence[Move] = (),
    on_event: EventListener = ignore,
    resume: str | Path | None = None,
) -> Outcome:
    """Spend less attention in any model, keep its quality, and prove both.

    Args:
        model: Never changed.
        data: Batches to calibrate and fine-tune with, and two splits for `quality`: one to search
            with, one to judge on, once. No example may be in two of them.
        quality: Called with a model and a split, returns one number for each example: the verdict
            compares example by example.
        lose: How much of the mean may be lost: 0.01 for at most 0.01 less of what should be high;
            or a text such as `accuracy 1%`, `loss 0.5%` or, of what else should be low, `error +2`.
        settings: How far and how carefully to search. `None` means `OptimizeSettings()`.
        spec: How the model is called and fine-tuned. `None` means `ModelSpec()`.
        moves: Your own, tried at every site besides those of heedful: objects of frozen dataclasses
            that derive from `heedful.Move`. `heedful.load` then needs their classes.
        on_event: Called with every event of `heedful.optimizing.events`.
        resume: A folder that keeps the rounds: the same call goes on where it was killed. It knows
            the model by its weights, the data by its content, and the quality by what it says of
            the original; anything else is refused. Delete it when it is done.

    Returns:
        The outcome: `accepted` or refused with the reason; `save` writes it.

    Raises:
        ConfigError: A setting cannot be used, or `quality` does not give one number an example.
        DataError: An example is in two splits, or a split has too few examples for a verdict.
        RunError: `resume` holds another search, is in use, or cannot be written.
        UnsupportedError: The model holds no attention that can be changed, or a move cannot be
            written down.
    """
    budget = as_budget(lose)
    settings = settings or OptimizeSettings()
    clock = Clock(settings.minutes)
    spec = ModelSpec() if spec is None else spec
    problem = problem_of_model(
        model,
        data,
        quality,
        metric=budget.metric,
        higher_is_better=budget.higher_is_better,
        spec=spec,
    )
    for move in moves:
        if not isinstance(move, Move):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"moves must be objects of heedful.Move, got {move!r:.80}")
    problem = replace(problem, moves=tuple(moves))
    named = [[name_of(move), move.settings()] for move in problem.moves]
    request = Request(
        problem=problem, budget=budget, settings=settings, listener=on_event, clock=clock
    )
    if resume is None:
        return optimize_problem(request)
    about = {
        "model": identity(model),
        "data": data.contents(),
        "training": spec.about(),
        "machine": machine_of(problem.device) if settings.goal == "latency" else None,
        **({"moves": named} if named else {}),  # no older search knows of any
    }
    state = SearchState(Path(resume), budget, settings, about)
    with hold_state(state, on_event):
        return optimize_problem(replace(request, state=state))


def optimize_problem(request: Request) -> Outcome:
    """Do the same for anything that a `Problem` describes.

    What cannot be judged is refused before anything is measured or written.

    Args:
        request: Its state, where there is one, is opened behind the checks; whoever gives it holds
            its folder.

    Raises:
        ConfigError: The budget is in the wrong direction.
        DataError: A split has too few examples for a verdict.
        RunError: The memory is of another search, or cannot be written.
        UnsupportedError: The model holds no attention that can be changed, or in no words that its
            own config has.
        VerificationError: A plain checkpoint would say something else than what was verified.
    """
    problem, on_event = request.problem, request.listener
    unknown = _checked(request)
    history: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []

    def listen(event: OptimizeEvent) -> None:
        if isinstance(event, RoundDone):
            history.append(round_of(event))
        if isinstance(event, Verified):
            steps.append(step_of(event))
        on_event(event)

    torch.manual_seed(request.settings.seed)
    problem = _opened(problem, request.state, on_event)
    search = Search(replace(request, problem=problem, listener=listen))
    keep_time_for_proof(search)
    distance = _seen_before_the_work(search, on_event)
    _search(search, on_event)
    proofs = prove(search, on_event)
    proof = decisive(proofs)
    found = Evidence(
        search=search,
        proof=proof,
        others=[other for other in proofs if other is not proof],
        original=_original(search, proof, on_event),
    )
    return Outcome(
        accepted=proof.accepted,
        reason=found.reason,
        model=_as_asked(request, proof),
        plan=proof.best.plan,
        verdict=proof.verdict,
        report=found.report(seconds=search.clock.spent, not_adaptable=unknown, history=history)
        | {"taken_apart": distance, "steps": steps, "loadable": request.settings.loadable}
        | _by_others(request),
    )


def _by_others(request: Request) -> dict[str, Any]:
    """What other commands have done, for the report."""
    done = None if request.shared is None else request.shared.done
    return {"done_by_others": dict(done)} if done else {}


def _checked(request: Request) -> dict[str, str]:
    """Refuse what nothing can come of; return attention that cannot be changed, and why."""
    problem = request.problem
    sites, unknown = find_sites(
        problem.model, lambda model: problem.outputs(model, problem.calibration[0])
    )
    if not sites:
        raise UnsupportedError(_nothing_to_change(problem.model, unknown))
    _check(problem, request.budget)
    if request.settings.loadable == "transformers":
        check_loadable(problem.model, sites)
    return unknown


def _as_asked(request: Request, proof: Proof) -> nn.Module:
    """The model as it can be loaded by whom that was asked for."""
    if not proof.accepted or request.settings.loadable == "heedful":
        return proof.best.model
    return as_plain(proof.best.model, request.problem)


def _original(search: Search, proof: Proof, on_event: EventListener) -> FinetunedOriginal | str:
    """What the accepted one must also be compared with."""
    if not proof.accepted:
        return AS_GIVEN
    return finetune_original(search, proof.best, on_event, after=proof.after)


def _nothing_to_change(model: nn.Module, unknown: Mapping[str, str]) -> str:
    reasons = "; ".join(f"{name}: {why}" for name, why in unknown.items())
    reasons = reasons or f"none among {kinds_of(model)}"
    return f"a model must hold attention that can be changed, got: {reasons}"


def _opened(problem: Problem, state: SearchState | None, on_event: EventListener) -> Problem:
    """Read what an earlier part of the search has kept, before anything is measured."""
    if state is None:
        return problem
    if state.rounds:
        on_event(Note(text=f"going on behind round {state.rounds} of {state.folder}"))
    elif state.journal.begun:
        on_event(Note(text=f"beginning the first round anew: none was done in {state.folder}"))
    return replace(problem, looked=state.once("looked", problem.looked))


def _seen_before_the_work(search: Search, on_event: EventListener) -> float | None:
    """Say what makes a good end unlikely; return how far the changeable form is from the model."""
    metric = search.problem.metric
    search.budget.check(metric.score(search.before), floor=metric.floor)
    _tell_doubts(search, on_event)
    return _apart(search, on_event)


def _apart(search: Search, on_event: EventListener) -> float | None:
    """Say how far the changeable form is from the model; `None` where that is no number."""
    distance = unfused_divergence(search.problem, search.start)
    differs = why_unfused_differs(search.problem, distance)
    if differs is not None:
        on_event(Note(text=differs))
    return distance if math.isfinite(distance) else None


def _check(problem: Problem, budget: Budget) -> None:
    """Refuse before the work what no verdict could be given on after it."""
    metric = problem.metric
    if budget.margin and metric.higher_is_better != budget.higher_is_better:
        better = "higher" if metric.higher_is_better else "lower"
        raise ConfigError(
            f"the budget must know that {better} {metric.name} is better, got {budget}"
        )
    counts = {"dev": problem.dev_examples, "test": problem.test_examples}
    for split, examples in counts.items():
        if examples < FEWEST_EXAMPLES:
            raise DataError(
                f"the {split} split must hold at least {FEWEST_EXAMPLES} examples for a verdict, "
                f"got {examples}"
            )


def _tell_doubts(search: Search, on_event: EventListener) -> None:
    """Say before the work that there are too few examples to show so small a loss."""
    metric, examples = search.problem.metric, search.problem.test_examples
    needed = required_examples(
        search.before, metric=metric, budget=search.budget, confidence=search.confidence
    )
    if needed is not None and examples < needed:
        text = (
            f"{examples} examples of the test split cannot show that at most {search.budget} is "
            f"lost unless many change a little and none a lot; about {needed:,} can"
        )
        on_event(Note(text=text))


def _search(search: Search, on_event: EventListener) -> None:
    """Let it find what it can; an interrupt ends the search only, where there is an answer."""
    try:
        with search.clock.searching():
            for candidate in search.run():
                search.answers.add(candidate)
    except KeyboardInterrupt:
        if not search.answers.in_order:
            raise
        on_event(Note(text="interrupted: going on with the best so far"))
    shared, beside = search.request.shared, search.beside
    if shared is not None:
        shared.settle(beside.numbers if isinstance(beside, FinetunedElsewhere) else ())
    last = unjudged_move(search) if fits(search.clock) else None
    if last is not None:
        search.answers.only(last)
