"""Candidates made, fine-tuned and judged: what every way to search stands on."""

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import cast

from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.errors import TrainingError
from heedful.metrics.metric import Floats
from heedful.optimizing.answers import Answers
from heedful.optimizing.asked import asked
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.clock import FEWEST
from heedful.optimizing.compression_levels import Assignment
from heedful.optimizing.events import Note, Stage
from heedful.optimizing.finetune import Finetuning, finetune, rate_scale_for
from heedful.optimizing.finetuned_elsewhere import Beside, original_beside
from heedful.optimizing.finetuning_time import FinetuningTime
from heedful.optimizing.looks import confidence_of_look
from heedful.optimizing.operations import record_usage
from heedful.optimizing.prepared import Prepared
from heedful.optimizing.problem import Reference
from heedful.optimizing.reconstruct import reconstruct
from heedful.optimizing.request import Request
from heedful.optimizing.shared_weights import share_weights
from heedful.optimizing.site_costs import SiteCosts
from heedful.optimizing.verdict import Verdict, judge


class Judging:
    """The original, measured once, and what makes candidates of it and judges them.

    Args:
        request: What is asked; every pass of its problem asks its clock.
    """

    def __init__(self, request: Request) -> None:
        self.request, self.beside = request, cast(Beside | None, None)
        self.state, self.clock, self.tell = request.state, request.clock, request.listener
        self.budget, self.settings = request.budget, request.settings
        self.problem = problem = asked(request.problem, self.clock)
        self.start = share_weights(unfused(problem.model), problem.model)
        self.sites = find_sites(self.start)[0]
        self.tell(Stage(text="measuring the original"))
        self.reference = Reference(problem)
        self.before: Floats = problem.statistics(problem.model, "dev")
        self.usage = record_usage(self.start, self.sites, problem.runs(self.start))
        request.gather()  # nothing is timed while others begin
        self.costs = SiteCosts(
            self.settings.goal,
            self.start,
            self.sites,
            self.usage,
            problem.work,
            {} if self.state is None else self.state.costs(),
        )
        was = {site.name: str(site.read(self.start).geometry) for site in self.sites}
        self.original = Candidate(plan=Plan(was=was), model=self.start, share=1.0, divergence=0.0)
        self.base, self.base_costs = self.original, self.costs
        self.answers = Answers()
        self.finetuning_time = FinetuningTime(
            self.clock, labelled=problem.truth is not None, tell=self.tell
        )
        self.confidence = confidence_of_look(problem.looked + 1)

    def judged(self, candidate: Candidate) -> Candidate:
        """Return the candidate with its verdict on the dev split."""
        verdict = judge(
            self.before,
            self.problem.statistics(candidate.model, "dev"),
            metric=self.problem.metric,
            budget=self.budget,
            confidence=self.confidence,
            seed=self.settings.seed,
        )
        sign = 1 if self.budget.higher_is_better else -1
        found = replace(
            candidate,
            verdict=verdict,
            slack=sign * (_bound_on(self.problem.test_examples, verdict) - verdict.budget),
            within=sign * (verdict.difference - verdict.budget) >= 0,
            divergence=self.reference.divergence(candidate.model),
        )
        self.answers.add(found)
        return found

    def finetuned(
        self,
        candidate: Candidate,
        steps: int,
        seed: int,
        *,
        rate_scale: float | None = None,
        beside: bool = False,
    ) -> Candidate:
        """Return the candidate after fine-tuning, or as it was where fine-tuning made it no better.

        Args:
            candidate: Where it was not judged before and no truth is known, its divergence decides,
                which is quickly known.
            steps: Of fine-tuning; fewer where there is no time for all.
            seed: Of its batches.
            rate_scale: As in `Finetuning`; `None` means what its divergence asks for.
            beside: Fine-tune the original for as long meanwhile, where a core is idle.
        """
        original, new = self.beside, self.trained(candidate, steps, seed, rate_scale, beside)
        if new is None:
            return candidate if candidate.verdict else self.judged(candidate)
        if candidate.verdict is None:
            # what learns the truth as well may rightly leave an original that errs
            worse = self.problem.truth is None
            worse = worse and self.reference.divergence(new.model) > candidate.divergence
            return self.judged(candidate if worse else new)
        new = self.judged(new)
        if not _better(new, candidate):
            self.beside, new = original, candidate  # as far as what is gone on with
        return new

    def warmed(self, candidate: Candidate, steps: int, seed: int) -> Candidate:
        """Return the candidate after a few steps, not judged: as it was where it is no nearer."""
        new = self.trained(candidate, steps, seed)
        if new is None:
            return candidate
        new = replace(new, divergence=self.reference.divergence(new.model))
        return new if new.divergence < candidate.divergence else candidate

    def trained(
        self,
        candidate: Candidate,
        steps: int,
        seed: int,
        rate_scale: float | None = None,
        beside: bool = False,
    ) -> Candidate | None:
        """The candidate after fine-tuning; `None` where that failed, or there is no time for it."""
        self.clock.check("dev")
        if not steps or (self.clock.limited and steps < FEWEST):
            return None
        rate_scale = rate_scale_for(candidate.divergence) if rate_scale is None else rate_scale
        finetuning = Finetuning(steps=steps, seed=self.settings.seed + seed, rate_scale=rate_scale)
        try:
            return _train(self, candidate, finetuning, beside)
        except TrainingError as error:
            self.tell(Note(text=f"left not fine-tuned: {error}"))
            return None

    def candidate(self, prepared: Prepared, assignment: Assignment) -> Candidate:
        """Return a candidate, not fine-tuned: least squares let what stays stand in for the rest.

        Args:
            prepared: What it is chosen from.
            assignment: The choice.
        """
        current, options, table = prepared.current, prepared.options, prepared.table
        moves = options.moves_of(assignment, table)
        plan = current.plan
        for name, made in moves.items():
            plan = plan.then(name, made)
        model = options.build(moves)
        changed = [site for site in self.sites if site.name in moves]
        with self.clock.watch("reconstruct"):
            reconstruct(model, current.model, changed, self.problem)
        share_weights(model, current.model)
        share = self.base.share * self.base_costs.share(model, self.sites)
        new = Candidate(plan=plan, model=model, share=share, divergence=float("nan"))
        divergence = self.reference.divergence(model)
        return replace(new, divergence=divergence, trained=current.trained)

    def recalled(self, stage: str, number: int) -> Candidate | None:
        """Return what an earlier part of this search came to, if it did."""
        if self.state is None:
            return None
        return self.state.recall(stage, number, self.problem, self.original, self.before)

    def remember(self, stage: str, number: int, candidate: Candidate) -> None:
        """Keep what was come to, for a later part of this search."""
        if self.state is not None:
            if self.costs.table is not None:
                self.state.keep_costs(self.costs.table.to_json())
            self.state.keep(stage, number, candidate)


def _train(
    search: Judging, candidate: Candidate, finetuning: Finetuning, beside: bool
) -> Candidate:
    """The candidate after fine-tuning, and meanwhile the original beside it."""
    model, trained = unfused(candidate.model), (*candidate.trained, finetuning)
    other = (
        original_beside(search.request, search.clock, trained, search.beside) if beside else None
    )
    with other or nullcontext():
        watched = search.finetuning_time.watched(finetuning.steps, beside=other is not None)
        taken = finetune(model, search.problem, finetuning, on_step=watched)
        if other is not None and taken == finetuning.steps:
            search.tell(Stage(text="fine-tuning the original for as long"))
            other.wait()
    trained = (*candidate.trained, replace(finetuning, steps=taken))
    if other is not None and other.error is None:
        other.trained, search.beside = trained, other
    search.finetuning_time.keep(trained, done=0 if other is None else other.steps)
    return replace(candidate, model=model.eval(), trained=trained)


def _bound_on(examples: int, verdict: Verdict) -> float:
    """The bound of so many examples: its distance shrinks with the root of their number."""
    wider = math.sqrt(verdict.examples / examples)
    return verdict.difference + wider * (verdict.bound - verdict.difference)


def _better(new: Candidate, old: Candidate) -> bool:
    return math.isfinite(new.divergence) and new.slack >= old.slack
