"""The search: cut a little, choose whole candidates, fine-tune the best, cut further."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.errors import TrainingError
from heedful.metrics.metric import Floats
from heedful.optimizing.budget import Budget
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.compression_levels import Assignment, Table, cost_of
from heedful.optimizing.events import EventListener, Note, RoundDone, Stage
from heedful.optimizing.evolve import evolve
from heedful.optimizing.finetune import Finetuning, finetune, rate_scale_for
from heedful.optimizing.knapsack import knapsack
from heedful.optimizing.operations import record_usage
from heedful.optimizing.problem import Problem, Reference
from heedful.optimizing.reconstruct import reconstruct
from heedful.optimizing.search_state import SearchState
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.site_costs import SiteCosts
from heedful.optimizing.site_options import SiteOptions, find_options, moves_of, residual_of
from heedful.optimizing.verdict import Verdict, judge

ROUND, FINAL = "round", "final"
LONG = 3  # times the pace of a short fine-tuning


class Search:
    """Everything that stays the same from round to round.

    Args:
        problem: What is optimised.
        budget: What must be kept.
        settings: How much work it may take.
        listener: Told what happens.
        state: Of an earlier part of this search, and for a later one; `None` means none.
    """

    def __init__(
        self,
        problem: Problem,
        budget: Budget,
        settings: OptimizeSettings,
        listener: EventListener,
        state: SearchState | None = None,
    ) -> None:
        self.state = state
        self.problem, self.budget, self.settings, self.tell = problem, budget, settings, listener
        self.began = time.monotonic()
        self.start = unfused(problem.model)
        self.sites = find_sites(self.start)[0]
        self.tell(Stage(text="measuring the original"))
        self.reference = Reference(problem)
        self.before: Floats = problem.statistics(problem.model, "dev")
        self.usage = record_usage(self.start, self.sites, problem.runs(self.start))
        self.costs = SiteCosts(
            settings.goal,
            self.start,
            self.sites,
            self.usage,
            problem.work,
            {} if state is None else state.costs(),
        )
        was = {site.name: str(site.read(self.start).geometry) for site in self.sites}
        self.original = Candidate(plan=Plan(was=was), model=self.start, share=1.0, divergence=0.0)
        self.trials = settings.trials

    def run(self) -> Iterator[Candidate]:
        """Yield candidates that may pass the test: those of the rounds, then the fine-tuned ones.

        The rounds cut further and further, fine-tuning only so much that importance can be measured
        anew. Then the last one is fine-tuned for long, and again where only certainty is lacking;
        where it still loses too much, the one half way to the last that does not, and so on.
        """
        path: list[Candidate] = []
        for candidate in self._rounds():
            path.append(candidate)
            yield candidate
        passed = max((i for i, candidate in enumerate(path) if candidate.promising), default=-1)
        failed, number, again = len(path), 0, set[int]()
        index = len(path) - 1
        while passed < index < failed and number < self.settings.finals:
            if number and self._late():
                return
            number += 1
            candidate = self._finetuned_for_long(path[index], number)
            yield candidate
            if candidate.within and not candidate.promising and index not in again:
                again.add(index)
                path[index] = candidate  # so near that as much again may do
                continue
            passed, failed = (index, failed) if candidate.promising else (passed, index)
            index = (passed + failed + 1) // 2  # the further one of two

    def _rounds(self) -> Iterator[Candidate]:
        current = self.original
        for number in range(1, self.settings.rounds + 1):
            candidate = self._recalled(ROUND, number)
            if candidate is None:
                if self._late() or self.trials < 1:
                    return
                candidate = self.round(current, self.settings.cut, number)
                if candidate is None:
                    return
                self._remember(ROUND, number, candidate)
            self.tell(RoundDone(number=number, candidate=candidate))
            yield candidate
            if candidate.divergence > self.settings.max_divergence:
                return
            current = candidate

    def _finetuned_for_long(self, candidate: Candidate, number: int) -> Candidate:
        finetuned = self._recalled(FINAL, number)
        if finetuned is None:
            self.tell(Stage(text=f"fine-tuning at {candidate.share:.0%} of the cost for long"))
            # so long that it comes to rest again: what is far off gains from a faster beginning
            rate_scale = min(1.0, LONG * rate_scale_for(candidate.divergence))
            finetuned = self.finetuned(
                candidate, self.settings.final_steps, 10_000 + number, rate_scale=rate_scale
            )
            self._remember(FINAL, number, finetuned)
        self.tell(RoundDone(number=number, candidate=finetuned, final=True))
        return finetuned

    def round(self, current: Candidate, cut: float, number: int) -> Candidate | None:
        """Return the best candidate that costs less by this share of what can still be cut.

        `None` means that nothing is left to cut.
        """
        self.tell(Stage(text=f"round {number}: how much each head matters"))
        options = find_options(
            current.model, self.sites, self.problem, self.usage, seed=self.settings.seed
        )
        if not options.any:
            return None
        self.tell(Stage(text=f"round {number}: what each change costs"))
        options.measure(self.costs)
        text = f"round {number}: what each change breaks"
        table = options.table(
            self.costs, self.reference, lambda done: self.tell(Stage(text=text, done=done))
        )
        # what cannot be cut any more asks nothing of the others
        open_to_cuts = sum(levels[0].cost for levels in table if len(levels) > 1)
        limit = sum(levels[0].cost for levels in table) - cut * open_to_cuts
        finalists = self._finalists(options, table, limit, number)
        if not finalists:
            return None
        return self._best_finetuned(current, options, finalists, table, number)

    def judged(self, candidate: Candidate) -> Candidate:
        """Return the candidate with its verdict on the dev split."""
        after = self.problem.statistics(candidate.model, "dev")
        verdict = judge(
            self.before,
            after,
            metric=self.problem.metric,
            budget=self.budget,
            seed=self.settings.seed,
        )
        sign = 1 if self.budget.higher_is_better else -1
        return replace(
            candidate,
            verdict=verdict,
            slack=sign * (_bound_on(self.problem.test_examples, verdict) - verdict.budget),
            within=sign * (verdict.difference - verdict.budget) >= 0,
            divergence=self.reference.divergence(candidate.model),
        )

    def finetuned(
        self, candidate: Candidate, steps: int, seed: int, *, rate_scale: float | None = None
    ) -> Candidate:
        """Return the candidate after fine-tuning, or as it was where fine-tuning made it no better.

        Args:
            candidate: Where it was not judged before, its divergence decides, which is quickly
                known.
            steps: Of fine-tuning.
            seed: Of its batches.
            rate_scale: As in `Finetuning`; `None` means what its divergence asks for.
        """
        model = unfused(candidate.model)
        rate_scale = rate_scale_for(candidate.divergence) if rate_scale is None else rate_scale
        finetuning = Finetuning(steps=steps, seed=self.settings.seed + seed, rate_scale=rate_scale)
        try:
            finetune(model, self.problem, finetuning, on_step=lambda step: self._step(step, steps))
        except TrainingError as error:
            self.tell(Note(text=f"left not fine-tuned: {error}"))
            return candidate if candidate.verdict else self.judged(candidate)
        model.eval()
        new = replace(candidate, model=model)
        if candidate.verdict is None:
            worse = self.reference.divergence(model) > candidate.divergence
            return self.judged(candidate if worse else new)
        new = self.judged(new)
        return new if _better(new, candidate) else candidate

    # ---- the parts of a round --------------------------------------------------------------------

    def _finalists(
        self, options: SiteOptions, table: Table, limit: float, number: int
    ) -> list[Assignment]:
        first = knapsack(table, limit)
        if first is None:
            first = tuple(min(range(len(of)), key=lambda i: of[i].cost) for of in table)
            limit = cost_of(first, table)
        if not any(first):
            return []
        before = self.trials
        left = max(1, min(before, -(-self.settings.trials // self.settings.rounds)))
        base = self.reference.divergence(options.model)

        def evaluate(assignment: Assignment) -> float:
            self.trials -= 1
            model = options.build(moves_of(assignment, options.sites, table))
            divergence = self.reference.divergence(model)
            return residual_of(assignment, table, divergence - base)

        def heard(assignment: Assignment, value: float, best: bool) -> None:
            done = (before - self.trials) / left
            self.tell(Stage(text=f"round {number}: whole candidates", done=done))

        found = evolve(
            first,
            table,
            evaluate,
            limit=limit,
            evaluations=left,
            seed=self.settings.seed + number,
            on_assignment=heard,
        )
        ranked = sorted(found.history, key=lambda tried: tried[1])[: self.settings.finalists]
        return [assignment for assignment, _ in ranked]

    def _best_finetuned(
        self,
        current: Candidate,
        options: SiteOptions,
        finalists: Sequence[Assignment],
        table: Table,
        number: int,
    ) -> Candidate:
        tried: list[Candidate] = []
        steps = self.settings.finalist_steps if len(finalists) > 1 else 0
        for rank, assignment in enumerate(finalists, 1):
            which = f"{rank} of {len(finalists)} finalists"
            self.tell(Stage(text=f"round {number}: fine-tuning {which}"))
            candidate = self._candidate(current, options, assignment, table)
            tried.append(self.finetuned(candidate, steps, 1000 * number))
        best = max(tried, key=lambda candidate: candidate.slack)
        self.tell(Stage(text=f"round {number}: fine-tuning the best, at {_said(best)}"))
        return self.finetuned(best, self.settings.finetune_steps, 1000 * number + 1)

    def _candidate(
        self, current: Candidate, options: SiteOptions, assignment: Assignment, table: Table
    ) -> Candidate:
        moves = moves_of(assignment, options.sites, table)
        plan = current.plan
        for name, made in moves.items():
            plan = plan.then(name, made)
        model = options.build(moves)
        changed = [site for site in self.sites if site.name in moves]
        reconstruct(model, current.model, changed, self.problem)
        share = self.costs.share(model, self.sites)
        divergence = self.reference.divergence(model)
        return Candidate(plan=plan, model=model, share=share, divergence=divergence)

    def _recalled(self, stage: str, number: int) -> Candidate | None:
        if self.state is None:
            return None
        return self.state.recall(stage, number, self.problem, self.original, self.before)

    def _remember(self, stage: str, number: int, candidate: Candidate) -> None:
        if self.state is not None:
            if self.costs.table is not None:
                self.state.keep_costs(self.costs.table.to_json())
            self.state.keep(stage, number, candidate)

    def _late(self) -> bool:
        minutes = self.settings.minutes
        return minutes is not None and time.monotonic() - self.began > 60 * minutes

    def _step(self, step: int, steps: int) -> None:
        if step % 10 == 0:
            self.tell(Stage(text="fine-tuning", done=step / steps))


def _bound_on(examples: int, verdict: Verdict) -> float:
    """The bound of so many examples: its distance shrinks with the root of their number."""
    wider = math.sqrt(verdict.examples / examples)
    return verdict.difference + wider * (verdict.bound - verdict.difference)


def _said(candidate: Candidate) -> str:
    verdict = candidate.verdict
    return "" if verdict is None else f"{verdict.metric} {verdict.difference:+.2f}"


def _better(new: Candidate, old: Candidate) -> bool:
    return math.isfinite(new.divergence) and new.slack >= old.slack
