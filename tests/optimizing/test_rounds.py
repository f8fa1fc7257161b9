"""The search round by round: where it starts, what it tells, when it ends."""

from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from heedful.allocation.moves import DropSite
from heedful.allocation.plan import Plan
from heedful.optimizing import finetuned_elsewhere, rounds
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock, TimeUp
from heedful.optimizing.compression_levels import CompressionLevel, cost_of
from heedful.optimizing.events import Note, RoundDone, Stage, ignore
from heedful.optimizing.evolve import EvolutionResult
from heedful.optimizing.operations import total_operations
from heedful.optimizing.prepared import Prepared
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search
from heedful.optimizing.site_options import SiteOptions


@pytest.fixture
def search(kit):
    return made(kit)


class Now:
    """A clock that stands where it is put."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


def made(kit, problem=None, *, margin=-0.1, listener=ignore, layers=1, clock=None, **settings):
    problem = problem or kit.problem(kit.planted(layers=layers))
    budget = Budget(metric="quality", margin=margin)
    request = {"problem": problem, "budget": budget, "settings": kit.quick(**settings)}
    return Search(Request(**request, listener=listener, clock=clock or Clock()))


def prepared(search, table, sites=()):
    options = SiteOptions(model=search.start, moments={}, sites=sites, of={})
    return Prepared(current=search.original, options=options, table=table)


# ---- from round to round -------------------------------------------------------------------------


class Script:
    """In the place of `Search.round`: says whether each round's candidate is promising."""

    def __init__(self, original, *promising):
        self.left = [
            None if one is None else replace(original, share=0.5, slack=1.0 if one else -1.0)
            for one in promising
        ]
        self.made, self.calls = list(self.left), []

    def __call__(self, current, cut, number):
        self.calls.append((current, cut, number))
        return self.left.pop(0)


def played(search, *promising):
    """The candidates of the rounds; nothing is fine-tuned for long behind them."""
    search.round = script = Script(search.original, *promising)
    return script, list(search._rounds())


def test_a_round_starts_from_the_one_before(kit):
    search = made(kit, rounds=3, cut=0.4)
    script, found = played(search, True, False, True)
    one, two, _ = script.made
    starts = [current for current, _, _ in script.calls]
    assert all(a is b for a, b in zip(starts, [search.original, one, two], strict=True))
    assert [(cut, number) for _, cut, number in script.calls] == [(0.4, 1), (0.4, 2), (0.4, 3)]
    assert found == script.made


def test_what_is_damaged_too_much_is_cut_no_further(kit):
    search = made(kit, rounds=9, max_divergence=0.5)
    script = Script(search.original, False, False, False)
    script.left = [
        replace(x, divergence=d) for x, d in zip(script.left, (0.4, 0.6, 0.1), strict=True)
    ]
    search.round = script
    assert [candidate.divergence for candidate in search._rounds()] == [0.4, 0.6]


@pytest.mark.parametrize(
    "passes, finals, finetuned",
    [
        ("nnnn", 5, "d b a"),  # half way to what is cut less, as long as it loses too much
        ("nnny", 5, "d"),  # the last one will do
        ("nyny", 5, "d"),
        ("nyyn", 5, "d b c"),
        ("nynn", 5, "d b c"),
        ("nnn", 2, "c b"),
        ("nnnn", 2, "d b"),
        ("nnnn", 0, ""),
    ],
)
def test_the_one_cut_most_is_healed_for_long_then_milder_ones(kit, passes, finals, finetuned):
    search = made(kit, finals=finals, final_steps=3)
    path = [
        replace(search.original, share=1 - i / 10, slack=-1.0) for i in range(1, len(passes) + 1)
    ]
    search._rounds = lambda: iter(path)
    asked = []

    def finetune(candidate, steps, seed, *, rate_scale, beside):
        assert beside
        assert (steps, rate_scale) in ((1, 3 / 8), (2, 3 / 8))
        if steps == 2:  # the second leg, where the first was not enough
            return candidate
        asked.append(next(i for i, one in enumerate(path) if one is candidate))
        return replace(candidate, slack=1.0 if passes[asked[-1]] == "y" else -1.0)

    search.finetuned = finetune
    found = list(search._cut())
    assert " ".join("abcd"[i] for i in asked) == finetuned
    assert found[: len(path)] == path
    assert len(found) == len(path) + len(asked)


@pytest.mark.parametrize("enough, steps", [(1, [1000]), (2, [1000, 2000]), (9, [1000, 2000])])
def test_a_long_fine_tuning_ends_with_its_first_leg_where_that_is_enough(kit, enough, steps):
    search = made(kit, finals=1, final_steps=3000)
    start = replace(search.original, share=0.5, slack=-1.0)
    asked = []

    def finetune(candidate, steps, seed, **_):
        asked.append((steps, seed))
        return replace(candidate, slack=1.0 if len(asked) == enough else -1.0)

    search.finetuned = finetune
    found = search.legs(start, 1)
    assert [each for each, _ in asked] == steps
    assert len({seed for _, seed in asked}) == len(asked)
    assert found.promising is (enough <= 2)


def test_what_only_lacks_certainty_is_healed_again(kit):
    search = made(kit, finals=9)
    path = [replace(search.original, share=1 - i / 10, slack=-1.0) for i in range(1, 3)]
    search._rounds = lambda: iter(path)
    asked = []

    def finetune(candidate, *_, **__):
        asked.append(candidate)
        return replace(candidate, within=True, divergence=len(asked))

    search.finetuned = finetune
    list(search.run())
    assert [(round(x.share, 1), x.divergence) for x in asked] == [
        *[(0.8, path[1].divergence), (0.8, 1), (0.8, 2), (0.8, 3)],
        *[(0.9, path[0].divergence), (0.9, 5), (0.9, 6), (0.9, 7)],
    ]


def test_when_time_is_up_all_that_was_verified_is_left(kit):
    events, clock = [], Clock(5.0, now=(now := Now()))
    search = made(kit, finals=5, clock=clock, listener=events.append)
    kept = search.judged(search.original)

    def rounds_until_then():
        yield replace(kept, slack=-1.0)
        now.seconds = 301.0

    search._rounds = rounds_until_then
    search.answers.add(better := replace(kept, share=0.5))
    assert not search.cut_short
    assert list(search.run()) == [replace(kept, slack=-1.0)]
    assert search.cut_short
    assert search.answers.in_order == [better]
    assert events[-1] == Note(text="the time is up: going on with the best so far")


@pytest.mark.parametrize("took, steps", [(0.0, [34, 67]), (0.5, [34, 67]), (10.0, [23])])
def test_long_fine_tuning_fits_into_the_time_that_is_left(kit, took, steps):
    clock = Clock(5.0, now=Now())
    search = made(kit, finals=1, clock=clock)
    clock.took["step"], clock.kept = took, 10.0
    path = [replace(search.original, share=0.5, slack=-1.0)]
    search._rounds = lambda: iter(path)
    asked = []
    search.finetuned = lambda candidate, steps, *_, **__: asked.append(steps) or candidate
    list(search._cut())
    assert asked == steps


def test_where_all_that_was_cut_loses_too_much_less_is_cut(kit):
    search = made(kit, layers=2)
    search._cut = lambda: iter([replace(search.original, slack=-1.0)])
    _, *smaller = search.run()
    shares = [candidate.share for candidate in smaller]
    assert smaller
    assert shares == sorted(shares, reverse=True)
    assert all(candidate.promising for candidate in smaller)
    assert shares[-1] > 1 - search.settings.cut


def test_what_is_cut_less_and_still_loses_too_much_is_fine_tuned(kit):
    search = made(kit, layers=2, margin=-1e-9)
    search._cut = lambda: iter(())
    asked = []
    search.finetuned = lambda candidate, *_, **__: asked.append(candidate) or candidate
    *smaller, last = search.run()
    assert [last] == asked == smaller[-1:]


def test_what_passes_already_is_not_healed_for_long(kit):
    search = made(kit, finals=5)
    path = [replace(search.original, share=1 - i / 10, slack=1.0) for i in range(1, 4)]
    search._rounds = lambda: iter(path)
    assert list(search.run()) == path


def test_ends_where_nothing_is_left(kit):
    events = []
    search = made(kit, rounds=9, listener=events.append)
    script, found = played(search, True, None)
    assert len(script.calls) == 2
    assert [event.number for event in events if isinstance(event, RoundDone)] == [1]
    assert found == script.made[:1]


def test_no_round_begins_without_trials(kit):
    search = made(kit)
    search.trials = 0
    assert played(search, True)[1] == []


@pytest.mark.parametrize("later, played_ones", [(121.0, 0), (119.0, 2)])
def test_no_round_begins_too_late(kit, later, played_ones):
    search = made(kit, clock=Clock(2.0, now=(now := Now())))
    now.seconds = later
    search.round = script = Script(search.original, True, True)
    with suppress(TimeUp):
        list(search._rounds())
    assert len(script.calls) == played_ones


def test_within_minutes_rounds_go_on_from_the_small_step_that_lost_too_much(kit, monkeypatch):
    search = made(kit, layers=2, rounds=5, cut=0.4, clock=Clock(5.0, now=Now()))
    lost = [(0.05, True), (0.1, True), (0.2, False)]
    steps = [(cut, replace(search.original, slack=1.0 if ok else -1.0)) for cut, ok in lost]
    monkeypatch.setattr(rounds, "small_steps", lambda *_: iter(steps))
    limits, slacks = [], [1.0, 1.0, -1.0]
    monkeypatch.setattr(Prepared, "limit", lambda self, cut: limits.append(cut) or cut)
    search._finalists = lambda *_: ["one"]
    search._best_finetuned = lambda *_: replace(search.original, slack=slacks.pop(0))
    found = list(search._rounds())
    assert limits == [0.2, 0.4, 0.4]  # faster again where that loses little
    assert not found[-1].promising  # and no further where it does


@pytest.mark.parametrize(
    "labelled, took, final_steps, mended",
    [
        (True, 0.23, 3000, True),  # 230 of 290 seconds for a third of all steps
        (True, 0.24, 3000, False),
        (True, 0.24, 2700, True),
        (True, 0.0, 0, False),
        (False, 0.0, 3000, False),
    ],
)
def test_small_steps_come_first_where_no_long_fine_tuning_fits(
    kit, monkeypatch, labelled, took, final_steps, mended
):
    problem = kit.problem()
    truth = (lambda batch: torch.zeros(len(batch), dtype=torch.long)) if labelled else None
    clock, problem = Clock(5.0, now=Now()), replace(problem, truth=truth)
    search = made(kit, problem, clock=clock, final_steps=final_steps)
    monkeypatch.setattr(finetuned_elsewhere, "can_be_beside", lambda problem: True)
    clock.took["step"], clock.kept = took, 10.0
    assert rounds._can_be_mended(search) is mended


def test_how_long_a_step_takes_is_measured_with_the_original_beside(kit, monkeypatch):
    problem = replace(kit.problem(), truth=lambda batch: torch.zeros(len(batch), dtype=torch.long))
    search = made(kit, problem, clock=Clock(5.0, now=Now()), final_steps=30)
    asked = []

    def trained(candidate, steps, seed, *, beside):
        assert candidate is search.base
        asked.append(beside)
        search.clock.took["step"], search.beside = 1.0, "the original"

    search.trained = trained
    assert rounds._can_be_mended(search)
    assert asked == [True, True]  # the first few are slow
    assert search.beside is None


def test_with_no_site_left_there_is_no_round(search):
    dropped = Plan(moves={"own.0": (DropSite(),)}).apply(search.start)
    assert search.round(replace(search.original, model=dropped), 0.5, 1) is None


# ---- one round -----------------------------------------------------------------------------------


def test_a_candidate_is_what_its_plan_and_its_share_say(kit):
    events = []
    search = made(kit, layers=2, listener=events.append)
    first, second = search.run()
    assert 0 < second.share < first.share <= 0.76
    for candidate in (first, second):
        counts = [
            total_operations(model, search.sites, search.usage)
            for model in (candidate.model, search.start)
        ]
        assert candidate.share == pytest.approx(counts[0] / counts[1])
        rebuilt = candidate.plan.apply(search.problem.model)
        rebuilt.load_state_dict(candidate.model.state_dict())
        tokens = kit.rows(5)
        assert torch.equal(rebuilt(tokens), candidate.model(tokens))
        assert candidate.verdict is not None
        assert candidate.divergence < 0.01
    stages = [event.done for event in events if isinstance(event, Stage)]
    assert all(done is None or 0 <= done <= 1 for done in stages)
    assert search.trials >= 0


def test_trials_are_shared_among_rounds(kit):
    search = made(kit, layers=2, trials=5, rounds=3)
    next(search.run())
    assert 5 - search.trials <= 2


def test_where_the_cut_is_out_of_reach_the_cheapest_is_taken(kit, monkeypatch):
    """Also where sums of costs depend on how they are rounded."""
    search = made(kit)
    table = [
        [
            CompressionLevel(label="a", cost=1.0, divergence=0),
            CompressionLevel(label="b", cost=0.1, divergence=1),
        ]
    ] * 10
    asked = []

    def evolve(start, table, evaluate, *, limit, **settings):
        asked.append(start)
        assert cost_of(start, table) <= limit
        return EvolutionResult(assignment=start, value=1.0, evaluations=1, history=((start, 1.0),))

    monkeypatch.setattr(rounds, "evolve", evolve)
    found = search._finalists(prepared(search, table), 0.5, 1)
    assert found == asked == [(1,) * 10]


def test_where_nothing_is_cheaper_there_is_no_finalist(search):
    table = [[CompressionLevel(label="as it is", cost=1.0, divergence=0)]]
    assert search._finalists(prepared(search, table, search.sites), 0.5, 1) == []


def test_healing_mends_few_large_damages_better_than_many_small_ones():
    level = CompressionLevel(label="as it is", cost=1.0, divergence=0.0)
    table = [[level, replace(level, divergence=0.3)], [level, replace(level, divergence=0.4)]]
    assert rounds.residual_of((0, 0), table, 0.09) == pytest.approx(0.3)
    assert rounds.residual_of((1, 0), table, 0.09) == pytest.approx(0.3)
    # alone 0.09 and 0.16: as a whole the sum of them, or four times as much
    assert rounds.residual_of((1, 1), table, 0.25) == pytest.approx(0.7)
    assert rounds.residual_of((1, 1), table, 1.0) == pytest.approx(1.4)
    assert rounds.residual_of((1, 1), table, -0.1) == 0.0


def test_finalists_are_the_best_that_were_tried(kit):
    search = made(kit, layers=2, finalists=3, trials=6, rounds=1)
    tried = []
    divergence = search.reference.divergence

    def seen(model, **batches):
        tried.append(divergence(model, **batches))
        return tried[-1]

    kept = []
    search.reference.divergence = seen
    search._best_finetuned = lambda prepared, finalists, number: kept.append(finalists)
    search.round(search.original, 0.5, 1)
    assert len(kept[0]) == 3
    assert all(any(choice) for choice in kept[0])
