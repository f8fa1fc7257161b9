"""The search: cut a little, choose whole candidates, heal the best, look again, cut further."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from heedful.allocation.moves import Move
from heedful.allocation.plan import Plan, separated
from heedful.allocation.sites import find_sites
from heedful.errors import TrainingError
from heedful.metrics.metric import Floats
from heedful.optimizing.budget import Budget
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Listener, Note, RoundDone, Stage
from heedful.optimizing.evolve import evolve
from heedful.optimizing.heal import Healing, heal, pace_for
from heedful.optimizing.knapsack import knapsack
from heedful.optimizing.level import Candidate as Choice
from heedful.optimizing.level import Table, cost_of
from heedful.optimizing.memory import Memory
from heedful.optimizing.operations import watch
from heedful.optimizing.reconstruct import reconstruct
from heedful.optimizing.settings import Settings
from heedful.optimizing.spending import Spending
from heedful.optimizing.subject import Reference, Subject
from heedful.optimizing.verdict import Verdict, judge
from heedful.optimizing.ways import Ways, find_ways, lasting

ROUND, FINAL = "round", "final"
LONG = 3  # times the pace of a short healing


class Search:
    """Everything that stays the same from round to round.

    Args:
        subject: What is optimised.
        budget: What must be kept.
        settings: How much work it may take.
        listener: Told what happens.
        memory: Of an earlier part of this search, and for a later one; `None` means none.
    """

    def __init__(
        self,
        subject: Subject,
        budget: Budget,
        settings: Settings,
        listener: Listener,
        memory: Memory | None = None,
    ) -> None:
        self.memory = memory
        self.subject, self.budget, self.settings, self.tell = subject, budget, settings, listener
        self.began = time.monotonic()
        self.start = separated(subject.model)
        self.sites = find_sites(self.start)[0]
        self.tell(Stage(text="measuring the original"))
        self.reference = Reference(subject)
        self.before: Floats = subject.statistics(subject.model, "validation")
        self.visits = watch(self.start, self.sites, subject.runs(self.start))
        self.spending = Spending(
            settings.goal,
            self.start,
            self.sites,
            self.visits,
            subject.work,
            {} if memory is None else memory.costs(),
        )
        was = {site.name: str(site.read(self.start).geometry) for site in self.sites}
        self.original = Candidate(plan=Plan(was=was), model=self.start, share=1.0, damage=0.0)
        self.trials = settings.trials

    def run(self) -> Iterator[Candidate]:
        """Yield candidates that may promise to pass the test: those of the rounds, then the healed.

        The rounds cut further and further, healing only so much that importance can be measured
        anew. Then the last one is healed for long, and again where only certainty is lacking; where
        it still loses too much, the one half way to the last that does not, and so on.
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
            candidate = self._healed_for_long(path[index], number)
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
            if candidate.damage > self.settings.bearable:
                return
            current = candidate

    def _healed_for_long(self, candidate: Candidate, number: int) -> Candidate:
        healed = self._recalled(FINAL, number)
        if healed is None:
            self.tell(Stage(text=f"healing at {candidate.share:.0%} of the cost for long"))
            steps = self.settings.final_steps
            # so long that it comes to rest again: what is far off gains from a faster beginning
            pace = min(1.0, LONG * pace_for(candidate.damage))
            healed = self.healed(candidate, steps, 10_000 + number, pace=pace)
            self._remember(FINAL, number, healed)
        self.tell(RoundDone(number=number, candidate=healed, final=True))
        return healed

    def round(self, current: Candidate, cut: float, number: int) -> Candidate | None:
        """Return the best candidate that costs less by this share of what can still be cut.

        `None` means that nothing is left to cut.
        """
        self.tell(Stage(text=f"round {number}: how much each head matters"))
        ways = find_ways(
            current.model, self.sites, self.subject, self.visits, seed=self.settings.seed
        )
        if not ways.any:
            return None
        self.tell(Stage(text=f"round {number}: what each change costs"))
        ways.measure(self.spending)
        text = f"round {number}: what each change breaks"
        table = ways.table(
            self.spending, self.reference, lambda done: self.tell(Stage(text=text, done=done))
        )
        # what cannot be cut any more asks nothing of the others
        open_to_cuts = sum(levels[0].cost for levels in table if len(levels) > 1)
        limit = sum(levels[0].cost for levels in table) - cut * open_to_cuts
        finalists = self._finalists(ways, table, limit, number)
        if not finalists:
            return None
        return self._best_healed(current, ways, finalists, table, number)

    def judged(self, candidate: Candidate) -> Candidate:
        """Return the candidate with its verdict on the validation split."""
        after = self.subject.statistics(candidate.model, "validation")
        verdict = judge(
            self.before,
            after,
            metric=self.subject.metric,
            budget=self.budget,
            seed=self.settings.seed,
        )
        sign = 1 if self.budget.higher_is_better else -1
        return replace(
            candidate,
            verdict=verdict,
            slack=sign * (_bound_on(self.subject.test_examples, verdict) - verdict.budget),
            within=sign * (verdict.difference - verdict.budget) >= 0,
            damage=self.reference.damage(candidate.model),
        )

    def healed(
        self, candidate: Candidate, steps: int, seed: int, *, pace: float | None = None
    ) -> Candidate:
        """Return the candidate after healing, or as it was where healing made it no better.

        Args:
            candidate: Where it was not judged before, its damage decides, which is quickly known.
            steps: Of healing.
            seed: Of its batches.
            pace: As in `Healing`; `None` means what its damage asks for.
        """
        model = separated(candidate.model)
        pace = pace_for(candidate.damage) if pace is None else pace
        healing = Healing(steps=steps, seed=self.settings.seed + seed, pace=pace)
        try:
            heal(model, self.subject, healing, on_step=lambda step: self._step(step, steps))
        except TrainingError as error:
            self.tell(Note(text=f"left unhealed: {error}"))
            return candidate if candidate.verdict else self.judged(candidate)
        model.eval()
        new = replace(candidate, model=model)
        if candidate.verdict is None:
            worse = self.reference.damage(model) > candidate.damage
            return self.judged(candidate if worse else new)
        new = self.judged(new)
        return new if _better(new, candidate) else candidate

    # ---- the parts of a round --------------------------------------------------------------------

    def _finalists(
        self,
        ways: Ways,
        table: Table,
        limit: float,
        number: int,
    ) -> list[Choice]:
        first = knapsack(table, limit)
        if first is None:
            first = tuple(min(range(len(of)), key=lambda i: of[i].cost) for of in table)
            limit = cost_of(first, table)
        if not any(first):
            return []
        before = self.trials
        left = max(1, min(before, -(-self.settings.trials // self.settings.rounds)))

        base = self.reference.damage(ways.model)

        def evaluate(choice: Choice) -> float:
            self.trials -= 1
            damage = self.reference.damage(ways.build(_moves(ways, choice, table)))
            return _together(choice, table, damage - base)

        def heard(choice: Choice, value: float, best: bool) -> None:
            done = (before - self.trials) / left
            self.tell(Stage(text=f"round {number}: whole candidates", done=done))

        found = evolve(
            first,
            table,
            evaluate,
            limit=limit,
            evaluations=left,
            seed=self.settings.seed + number,
            on_candidate=heard,
        )
        ranked = [choice for choice, _ in sorted(found.history, key=lambda tried: tried[1])]
        return ranked[: self.settings.finalists]

    def _best_healed(
        self,
        current: Candidate,
        ways: Ways,
        finalists: Sequence[Choice],
        table: Table,
        number: int,
    ) -> Candidate:
        tried: list[Candidate] = []
        steps = self.settings.finalist_steps if len(finalists) > 1 else 0
        for rank, choice in enumerate(finalists, 1):
            self.tell(Stage(text=f"round {number}: healing {rank} of {len(finalists)} finalists"))
            candidate = self._candidate(current, ways, choice, table)
            tried.append(self.healed(candidate, steps, 1000 * number))
        best = max(tried, key=lambda candidate: candidate.slack)
        self.tell(Stage(text=f"round {number}: healing the best, at {_said(best)}"))
        return self.healed(best, self.settings.heal_steps, 1000 * number + 1)

    def _candidate(self, current: Candidate, ways: Ways, choice: Choice, table: Table) -> Candidate:
        moves = _moves(ways, choice, table)
        plan = current.plan
        for name, made in moves.items():
            plan = plan.then(name, made)
        model = ways.build(moves)
        changed = [site for site in self.sites if site.name in moves]
        reconstruct(model, current.model, changed, self.subject)
        share = self.spending.share(model, self.sites)
        return Candidate(plan=plan, model=model, share=share, damage=self.reference.damage(model))

    # ---- small things ----------------------------------------------------------------------------

    def _recalled(self, stage: str, number: int) -> Candidate | None:
        if self.memory is None:
            return None
        return self.memory.recall(stage, number, self.subject, self.original, self.before)

    def _remember(self, stage: str, number: int, candidate: Candidate) -> None:
        if self.memory is not None:
            if self.spending.table is not None:
                self.memory.keep_costs(self.spending.table.to_json())
            self.memory.keep(stage, number, candidate)

    def _late(self) -> bool:
        minutes = self.settings.minutes
        return minutes is not None and time.monotonic() - self.began > 60 * minutes

    def _step(self, step: int, steps: int) -> None:
        if step % 10 == 0:
            self.tell(Stage(text="healing", done=step / steps))


def _moves(ways: Ways, choice: Choice, table: Table) -> dict[str, tuple[Move, ...]]:
    """The moves of a choice, by site; a site that stays as it is has none."""
    chosen = zip(ways.sites, table, choice, strict=True)
    found = {site.name: levels[index].moves for site, levels, index in chosen if index}
    return cast(dict[str, tuple[Move, ...]], found)


def _together(choice: Choice, table: Table, damage: float) -> float:
    """What healing leaves of a choice, given its damage as a whole, which need not be the sum."""
    alone = [levels[index].damage for levels, index in zip(table, choice, strict=True)]
    whole = math.hypot(*alone)
    return sum(alone) * lasting(damage) / whole if whole else lasting(damage)


def _bound_on(examples: int, verdict: Verdict) -> float:
    """The bound of so many examples: its distance shrinks with the root of their number."""
    wider = math.sqrt(verdict.examples / examples)
    return verdict.difference + wider * (verdict.bound - verdict.difference)


def _said(candidate: Candidate) -> str:
    verdict = candidate.verdict
    return "" if verdict is None else f"{verdict.metric} {verdict.difference:+.2f}"


def _better(new: Candidate, old: Candidate) -> bool:
    return math.isfinite(new.damage) and new.slack >= old.slack
