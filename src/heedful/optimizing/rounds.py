"""The search: what is free, fewer layers, small steps, then rounds: cut, choose, fine-tune."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain

from torch import nn

from heedful.allocation.sites import Site
from heedful.optimizing.ahead import Ahead
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.clock import TimeUp
from heedful.optimizing.compression_levels import Assignment, cost_of
from heedful.optimizing.events import Note, RoundDone, Stage
from heedful.optimizing.evolve import evolve
from heedful.optimizing.fewer_layers import fewer_layers
from heedful.optimizing.finalists import SHORT, best_of_finalists
from heedful.optimizing.finetune import rate_scale_for
from heedful.optimizing.finetuned_elsewhere import goes_beside
from heedful.optimizing.free_moves import free_moves
from heedful.optimizing.judging import Judging
from heedful.optimizing.knapsack import knapsack
from heedful.optimizing.loadable import loadable_only
from heedful.optimizing.prepared import Prepared
from heedful.optimizing.request import Request
from heedful.optimizing.site_costs import SiteCosts
from heedful.optimizing.site_options import SCREENED, find_options, residual_of
from heedful.optimizing.small_steps import cut_less, small_steps

ROUND, FINAL = "round", "final"
FASTER = 2  # times the cut of a round that lost little
LONG = 3  # times the pace of a short fine-tuning
LEGS = (1 / 3, 2 / 3)  # shares of a long fine-tuning; the second where the first is not enough
TIMED = 10  # steps that tell how long one takes
CHOOSING, LAST = 1 / 4, 4 / 5  # shares of the time left: for choosing, for a long fine-tuning


class Search(Judging):
    """What is cut, and how far."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.prepared: Prepared | None = None
        self.small: list[Candidate] = []
        self.cut_short = False
        self.trials, self.cut = self.settings.trials, self.settings.cut

    def run(self) -> Iterator[Candidate]:
        """Yield candidates that may pass the test, as soon as they are judged.

        First what is free, then fewer layers; the fastest of that which promises to pass is what is
        cut. Then what `_cut` says and, where none of it promises to pass, smaller cuts. Where time
        is up it ends;
        `answers` has what was judged until then.
        """
        try:
            for candidate in chain(free_moves(self), fewer_layers(self)):
                yield candidate
                self._begin_from(candidate)
            passed = False
            for candidate in self._cut():
                yield candidate
                passed |= candidate.promising
            if not passed:
                yield from cut_less(self)
        except TimeUp:
            self.cut_short = True
            self.tell(Note(text="the time is up: going on with the best so far"))

    def _begin_from(self, candidate: Candidate) -> None:
        if not candidate.promising or candidate.share >= self.base.share:
            return
        self.base = candidate
        model = candidate.model
        sites = _sites_in(self, model)
        self.base_costs = SiteCosts(self.settings.goal, model, sites, self.usage, self.problem.work)

    def _cut(self) -> Iterator[Candidate]:
        """Yield the candidates of the rounds, then the fine-tuned ones.

        The rounds cut further and further, fine-tuning only so much that importance can be measured
        anew. Then the last one is fine-tuned for long, and again where only certainty is lacking;
        where it still loses too much, the one half way to the last that does not, and so on.
        """
        path, ahead = list[Candidate](), Ahead(self)
        for candidate in self._rounds():
            path.append(candidate)
            yield candidate
        passed = max((i for i, candidate in enumerate(path) if candidate.promising), default=-1)
        failed, number, again = len(path), 0, set[int]()
        index = len(path) - 1
        while passed < index < failed and number < self.settings.finals:
            number += 1
            further = (passed + index + 1) // 2  # what comes next where this one fails
            possible = passed < further < index and number < self.settings.finals
            following = path[further] if possible else None
            candidate = self._finetuned_for_long(path[index], number, ahead, following)
            yield candidate
            if candidate.within and not candidate.promising and index not in again:
                again.add(index)
                path[index] = candidate  # so near that as much again may do
                continue
            passed, failed = (index, failed) if candidate.promising else (passed, index)
            index = (passed + failed + 1) // 2  # the further one of two

    def _rounds(self) -> Iterator[Candidate]:
        current = self.base
        for number in range(1, self.settings.rounds + 1):
            candidate = self.recalled(ROUND, number)
            if candidate is None:
                if self.trials < 1:
                    return
                self.clock.check()
                candidate = self.round(current, self.cut, number)
                if candidate is None:
                    return
                self.remember(ROUND, number, candidate)
            self.tell(RoundDone(number=number, candidate=candidate))
            yield candidate
            if candidate.divergence > self.settings.max_divergence:
                return
            if self.clock.limited and not candidate.promising:
                return  # what follows loses more: the time is for fine-tuning this one
            current, self.cut = candidate, min(self.settings.cut, FASTER * self.cut)

    def _finetuned_for_long(
        self, candidate: Candidate, number: int, ahead: Ahead, following: Candidate | None
    ) -> Candidate:
        """The candidate after a long fine-tuning, or as soon as it promises to pass."""
        finetuned = self.recalled(FINAL, number)
        if finetuned is None:
            self.tell(Stage(text=f"fine-tuning at {candidate.share:.0%} of the cost for long"))
            finetuned = ahead.collect(candidate, number)
            if finetuned is None:
                ahead.begin(following, number + 1)
                finetuned = self.legs(candidate, number)
            self.remember(FINAL, number, finetuned)
        self.tell(RoundDone(number=number, candidate=finetuned, final=True))
        return finetuned

    def legs(self, candidate: Candidate, number: int) -> Candidate:
        """Return a candidate after its long fine-tuning of this number, judged."""
        # each leg comes to rest; where there is no time for all, the first may take all of it
        for leg, share in enumerate(LEGS if _time_for(self, 1.0) else (1.0,)):
            candidate = self._leg(candidate, share, 10_000 + number + 1_000 * leg)
            if candidate.promising:
                break
        return candidate

    def _leg(self, candidate: Candidate, share: float, seed: int) -> Candidate:
        # so long that it comes to rest again: what is far off gains from a faster beginning
        rate_scale = min(1.0, LONG * rate_scale_for(candidate.divergence))
        self.clock.check("dev")
        steps = _steps(self, share)
        return self.finetuned(candidate, steps, seed, rate_scale=rate_scale, beside=True)

    def round(self, current: Candidate, cut: float, number: int) -> Candidate | None:
        """Return the best candidate that costs less by this share of what can still be cut.

        Where time is so limited that no long fine-tuning will mend what is cut, small steps come
        before the first round, which then takes no more than the step that lost too much. `None`
        means that nothing is left to cut.
        """
        prepared = self.prepare(current, number)
        if prepared is None:
            return None
        self.prepared = self.prepared or prepared  # of the first round
        if number == 1 and self.clock.limited and not _can_be_mended(self):
            for step, candidate in small_steps(self, prepared, cut):
                self.small.append(candidate)
                if not candidate.promising:
                    self.cut = cut = step
        finalists = self._finalists(prepared, prepared.limit(cut), number)
        return self._best_finetuned(prepared, finalists, number) if finalists else None

    def prepare(self, current: Candidate, number: int) -> Prepared | None:
        """Measure what the sites of a candidate can become; `None` where that is nothing."""
        self.tell(Stage(text=f"round {number}: how much each head matters"))
        plain, seed = self.settings.loadable == "transformers", self.settings.seed
        model = current.model
        options = find_options(
            model, _sites_in(self, model), self.problem, self.usage, seed=seed, plain=plain
        )
        options = loadable_only(options) if plain else options
        if not options.any:
            return None
        costs = f"round {number}: what each change costs"
        self.tell(Stage(text=costs))
        options.measure(self.base_costs, lambda done: self._go_on(costs, done))
        breaks = f"round {number}: what each change breaks"
        table = options.table(
            self.base_costs, self.reference, lambda done: self._go_on(breaks, done)
        )
        return Prepared(current=current, options=options, table=table)

    def _finalists(self, prepared: Prepared, limit: float, number: int) -> list[Assignment]:
        options, table = prepared.options, prepared.table
        first = knapsack(table, limit)
        if first is None:
            first = tuple(min(range(len(of)), key=lambda i: of[i].cost) for of in table)
            limit = cost_of(first, table)
        if not any(first):
            return []
        before = self.trials
        left = max(1, min(before, -(-self.settings.trials // self.settings.rounds)))
        with self.clock.watch("trial"):
            base = self.reference.divergence(options.model, batches=SCREENED)
        left = max(1, self.clock.times(left, "trial", share=CHOOSING))

        def evaluate(assignment: Assignment) -> float:
            self.clock.check("trial")
            self.trials -= 1
            model = options.build(options.moves_of(assignment, table))
            divergence = self.reference.divergence(model, batches=SCREENED)
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
        self, prepared: Prepared, finalists: Sequence[Assignment], number: int
    ) -> Candidate:
        best = best_of_finalists(self, prepared, finalists, number)
        self.tell(Stage(text=f"round {number}: fine-tuning the best"))
        steps = self.finetuning_time.steps(self.settings.finetune_steps, share=SHORT)
        return self.finetuned(best, steps, 1000 * number + 1)

    def _go_on(self, text: str, done: float) -> None:
        self.clock.check()
        self.tell(Stage(text=text, done=done))


def _sites_in(search: Search, model: nn.Module) -> list[Site]:
    """The sites whose layers a model still has."""
    return [site for site in search.sites if site.is_in(model)]


def _steps(search: Search, share: float) -> int:
    """This share of a long fine-tuning, or what of it there is time for."""
    wanted = math.ceil(share * search.settings.final_steps)
    beside = goes_beside(search.request)
    return search.finetuning_time.steps(wanted, share=LAST, beside=beside)


def _time_for(search: Search, share: float) -> bool:
    """Is there time for this share of a long fine-tuning?"""
    return _steps(search, share) >= share * search.settings.final_steps


def _can_be_mended(search: Search) -> bool:
    """Is there a truth to learn from, and time for as much as mends what a round cuts?"""
    if search.problem.truth is None or not search.settings.final_steps:
        return False
    if "step" not in search.clock.took:
        shared = search.request.shared
        beside = shared is None or not shared.others()  # another command is no slower for it
        for _ in range(2):  # the first few steps of a search are slow
            search.trained(search.base, TIMED, 30_000, beside=beside)
        search.beside = None
    return _time_for(search, LEGS[0])
