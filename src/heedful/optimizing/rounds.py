"""The search: cut a little, choose whole candidates, heal the best, look again, cut further."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from heedful.allocation.moves import Move
from heedful.allocation.plan import Plan, separated
from heedful.allocation.projections import Projections
from heedful.allocation.seen import Seen, look
from heedful.allocation.sites import Site, find_sites
from heedful.errors import TrainingError, UnsupportedError
from heedful.optimizing.budget import Budget
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Listener, Note, RoundDone, Stage
from heedful.optimizing.evolve import evolve
from heedful.optimizing.heal import Healing, heal, pace_for
from heedful.optimizing.importance import fisher
from heedful.optimizing.knapsack import knapsack
from heedful.optimizing.level import Level, cost_of, pareto
from heedful.optimizing.memory import Memory
from heedful.optimizing.metric import Floats
from heedful.optimizing.operations import Visits, watch
from heedful.optimizing.options import options
from heedful.optimizing.reconstruct import reconstruct
from heedful.optimizing.settings import Settings
from heedful.optimizing.spending import Spending
from heedful.optimizing.subject import Reference, Subject
from heedful.optimizing.verdict import judge

HOPE = 1 / 4  # of what is missing: the least that an attempt must win to be repeated
SMALLEST_CUT = 0.06  # below it a round costs more time than it can win


@dataclass(frozen=True)
class _Way:
    """One way to run a site: the moves that lead to it, and the projections that come out."""

    label: str
    moves: tuple[Move, ...]
    projections: Projections


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
        self.visits = self._visits(self.start)
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
        """Yield the healed candidate of every round, whether it promises to pass the test or not.

        A round starts from the last promising candidate; after one that is not, a smaller cut is
        tried from the same place.
        """
        current, cut = self.original, self.settings.cut
        for number in range(1, self.settings.rounds + 1):
            candidate = None if self.memory is None else self.memory.recall(number, self.subject)
            if candidate is None:
                if self._late() or self.trials < 1:
                    return
                candidate = self.round(current, cut, number)
                if candidate is None:
                    return
                self._remember(number, candidate)
            self.tell(RoundDone(number=number, candidate=candidate))
            yield candidate
            if candidate.promising:
                current = candidate
            else:
                cut /= 2
                if cut < SMALLEST_CUT:
                    return

    def round(self, current: Candidate, cut: float, number: int) -> Candidate | None:
        """Return the best candidate that costs less by this share of what attention costs now.

        `None` means that nothing is left to cut.
        """
        self.tell(Stage(text=f"round {number}: how much each head matters"))
        seen = look(current.model, self.sites, self._runs(current.model))
        ways = self._ways(current.model, seen)
        if not any(len(of) > 1 for of in ways.values()):
            return None
        self.tell(Stage(text=f"round {number}: what each change costs"))
        self.spending.measure(
            {name: [way.projections for way in of] for name, of in ways.items()},
            lambda chosen: self._build(current, ways, seen, chosen),
        )
        table = self._table(current, ways, seen, number)
        limit = sum(levels[0].cost for levels in table) * (1 - cut)
        finalists = self._finalists(current, ways, seen, table, limit, number)
        if not finalists:
            return None
        return self._best_healed(current, list(ways), finalists, table, number)

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
        # a larger test would show more: the distance of the bound shrinks with the root of its size
        wider = math.sqrt(verdict.examples / self.subject.test_examples)
        bound = verdict.difference + wider * (verdict.bound - verdict.difference)
        slack = bound - verdict.budget
        return replace(
            candidate,
            verdict=verdict,
            slack=slack if self.budget.higher_is_better else -slack,
            damage=self.reference.damage(candidate.model),
        )

    def healed(self, candidate: Candidate, steps: int, seed: int) -> Candidate:
        """Return the candidate after healing, or as it was where healing made it no better."""
        model = separated(candidate.model)
        healing = Healing(
            steps=steps, seed=self.settings.seed + seed, pace=pace_for(candidate.damage)
        )
        try:
            heal(model, self.subject, healing, on_step=lambda step: self._step(step, steps))
        except TrainingError as error:
            self.tell(Note(text=f"left unhealed: {error}"))
            return candidate
        model.eval()
        new = self.judged(replace(candidate, model=model))
        return new if _better(new, candidate) else candidate

    # ---- the parts of a round --------------------------------------------------------------------

    def _ways(self, model: nn.Module, seen: Mapping[str, Seen]) -> dict[str, list[_Way]]:
        scores = fisher(model, self.sites, self.subject, seed=self.settings.seed)
        found: dict[str, list[_Way]] = {}
        for site in self.sites:
            if site.name not in seen:
                continue
            here = site.read(model)
            ways = found[site.name] = [_Way("as it is", (), here)]
            for label, moves in options(
                here.geometry, scores[site.name], self.visits.get(site.name, Visits())
            ):
                way = self._way(site, model, label, moves, seen[site.name])
                if way is not None:
                    ways.append(way)
        return found

    def _way(
        self, site: Site, model: nn.Module, label: str, moves: Sequence[Move], seen: Seen
    ) -> _Way | None:
        projections, known = site.read(model), seen
        made: list[Move] = []
        try:
            for move in moves:
                move = move.resolved(projections, known)
                projections = move.edit(projections, known)
                known = replace(known, mixed=None)
                made.append(move)
        except UnsupportedError:
            return None
        if site.adapter.refuses(site.of(model), projections) is not None:
            return None
        return _Way(label, tuple(made), projections)

    def _build(
        self,
        current: Candidate,
        ways: Mapping[str, Sequence[_Way]],
        seen: Mapping[str, Seen],
        chosen: Mapping[str, int],
    ) -> nn.Module:
        moves = {name: ways[name][number].moves for name, number in chosen.items()}
        plan = Plan(moves={name: made for name, made in moves.items() if made})
        return plan.apply(current.model, seen)

    def _table(
        self,
        current: Candidate,
        ways: Mapping[str, Sequence[_Way]],
        seen: Mapping[str, Seen],
        number: int,
    ) -> list[list[Level]]:
        table: list[list[Level]] = []
        base = self.reference.damage(current.model)
        sites = {site.name: site for site in self.sites}
        count, total = 0, sum(len(of) for of in ways.values())
        for name, of in ways.items():
            levels: list[Level] = []
            for index, way in enumerate(of):
                count += 1
                self.tell(
                    Stage(text=f"round {number}: what each change breaks", done=count / total)
                )
                damage = 0.0
                if index:
                    model = self._build(current, ways, seen, {name: index})
                    damage = self.reference.damage(model) - base
                cost = self.spending.of(sites[name], way.projections)
                levels.append(Level(label=way.label, cost=cost, damage=damage, moves=way.moves))
            # the level that changes nothing stays the first, whatever beats it
            kept = [i for i in pareto(levels) if i]
            table.append([levels[0], *(levels[i] for i in kept)])
        return table

    def _finalists(
        self,
        current: Candidate,
        ways: Mapping[str, Sequence[_Way]],
        seen: Mapping[str, Seen],
        table: list[list[Level]],
        limit: float,
        number: int,
    ) -> list[tuple[int, ...]]:
        first = knapsack(table, limit)
        if first is None:
            first = tuple(min(range(len(of)), key=lambda i: of[i].cost) for of in table)
            limit = cost_of(first, table)
        if not any(first):
            return []
        names = list(ways)
        before = self.trials
        left = max(1, min(before, -(-self.settings.trials // self.settings.rounds)))

        def evaluate(choice: tuple[int, ...]) -> float:
            self.trials -= 1
            moves = {
                name: of[i].moves for name, of, i in zip(names, table, choice, strict=True) if i
            }
            plan = Plan(moves=moves)  # pyright: ignore[reportArgumentType]
            return self.reference.damage(plan.apply(current.model, seen))

        def heard(choice: tuple[int, ...], value: float, best: bool) -> None:
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
        ranked = sorted(found.history, key=lambda tried: tried[1])
        return [choice for choice, _ in ranked[: self.settings.finalists]]

    def _best_healed(
        self,
        current: Candidate,
        names: Sequence[str],
        finalists: Sequence[tuple[int, ...]],
        table: list[list[Level]],
        number: int,
    ) -> Candidate:
        tried: list[Candidate] = []
        for rank, choice in enumerate(finalists, 1):
            self.tell(Stage(text=f"round {number}: healing {rank} of {len(finalists)} finalists"))
            candidate = self.judged(self._candidate(current, names, choice, table))
            steps = self.settings.finalist_steps if len(finalists) > 1 else 0
            tried.append(self.healed(candidate, steps, 1000 * number) if steps else candidate)
        best = max(tried, key=lambda candidate: candidate.slack)
        for attempt in range(self.settings.attempts):
            self.tell(Stage(text=f"round {number}: healing the best, at {_said(best)}"))
            gap = -best.slack
            best = self.healed(best, self.settings.heal_steps, 1000 * number + 1 + attempt)
            hopeless = gap + best.slack < -best.slack * HOPE
            if best.promising or hopeless or self._late():
                break
        return best

    def _candidate(
        self,
        current: Candidate,
        names: Sequence[str],
        choice: Sequence[int],
        table: list[list[Level]],
    ) -> Candidate:
        seen = look(current.model, self.sites, self._runs(current.model))
        plan, moves, saved = current.plan, dict[str, tuple[Move, ...]](), 0.0
        for name, levels, index in zip(names, table, choice, strict=True):
            if index:
                moves[name] = levels[index].moves  # pyright: ignore[reportArgumentType]
                plan = plan.then(name, moves[name])
                saved += levels[0].cost - levels[index].cost
        model = Plan(moves=moves).apply(current.model, seen)
        changed = [site for site in self.sites if site.name in moves]
        reconstruct(model, current.model, changed, self.subject)
        share = current.share - saved / self.spending.whole
        return Candidate(plan=plan, model=model, share=share, damage=float("inf"))

    # ---- small things ----------------------------------------------------------------------------

    def _runs(self, model: nn.Module) -> list[Callable[[], object]]:
        def run(batch: object) -> Callable[[], object]:
            return lambda: self.subject.outputs(model, batch)

        return [run(batch) for batch in self.subject.calibration]

    def _visits(self, model: nn.Module) -> dict[str, Visits]:
        return watch(model, self.sites, self._runs(model))

    def _remember(self, number: int, candidate: Candidate) -> None:
        if self.memory is not None:
            if self.spending.table is not None:
                self.memory.keep_costs(self.spending.table.to_json())
            self.memory.keep(number, candidate)

    def _late(self) -> bool:
        minutes = self.settings.minutes
        return minutes is not None and time.monotonic() - self.began > 60 * minutes

    def _step(self, step: int, steps: int) -> None:
        if step % 10 == 0:
            self.tell(Stage(text="healing", done=step / steps))


def _said(candidate: Candidate) -> str:
    verdict = candidate.verdict
    return "" if verdict is None else f"{verdict.metric} {verdict.difference:+.2f}"


def _better(new: Candidate, old: Candidate) -> bool:
    return math.isfinite(new.damage) and new.slack >= old.slack
