"""Candidates are fine-tuned on a copy, judged with their slack, and left alone when time is up."""

from dataclasses import replace

import pytest
import torch

from heedful.errors import TrainingError
from heedful.optimizing import finetuned_beside, finetuned_elsewhere, judging
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import Note, ignore
from heedful.optimizing.finetune import Finetuning
from heedful.optimizing.judging import Judging
from heedful.optimizing.optimize_data import OptimizeData
from heedful.optimizing.request import Request


class Now:
    """A clock that stands where it is put."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def search(kit):
    return made(kit)


def made(kit, problem=None, *, margin=-0.1, listener=ignore, clock=None):
    budget = Budget(metric="quality", margin=margin)
    request = {"problem": problem or kit.problem(), "budget": budget, "settings": kit.quick()}
    return Judging(Request(**request, listener=listener, clock=clock or Clock()))


@pytest.mark.parametrize("difference, within", [(-0.11, False), (-0.09, True), (0.2, True)])
def test_within_is_the_difference_without_its_bound(kit, monkeypatch, difference, within):
    search = made(kit, margin=-0.1)
    verdict = judging.judge

    def judge(*arguments, **settings):
        return replace(verdict(*arguments, **settings), difference=difference, bound=-1.0)

    monkeypatch.setattr(judging, "judge", judge)
    found = search.judged(search.original)
    assert (found.within, found.promising) == (within, False)


def test_too_few_steps_leave_a_candidate_as_it_is(kit):
    search = made(kit, clock=Clock(5.0, now=Now()))
    judged = search.judged(search.original)
    assert search.finetuned(judged, 4, 0) is judged
    assert search.finetuned(search.original, 4, 0) == judged


def test_healing_that_makes_it_worse_is_undone(search, monkeypatch):
    before = search.judged(search.original)

    def spoil(model, *_, **__):
        with torch.no_grad():
            model.head.weight.neg_()
        return 1

    monkeypatch.setattr(judging, "finetune", spoil)
    assert search.finetuned(before, 1, 0) is before


def test_of_what_was_not_judged_the_damage_decides_and_then_it_is(search, monkeypatch):
    unavailable = replace(search.original, divergence=search.reference.divergence(search.start))

    def spoil(model, *_, **__):
        with torch.no_grad():
            model.head.weight.neg_()
        return 1

    monkeypatch.setattr(judging, "finetune", spoil)
    kept = search.finetuned(unavailable, 1, 0)
    assert kept.model is unavailable.model
    assert kept.verdict is not None
    taken = search.finetuned(replace(unavailable, divergence=1e9), 1, 0)
    assert taken.model is not unavailable.model
    assert taken.slack < kept.slack


def test_healing_works_on_a_copy(search, monkeypatch):
    before = search.judged(search.original)
    monkeypatch.setattr(judging, "finetune", lambda model, *_, **__: len([model.train()]))
    after = search.finetuned(before, 1, 0)
    assert after.model is not before.model
    assert not after.model.training
    assert not before.model.training


def test_healing_that_fails_is_told_and_the_search_goes_on(kit, monkeypatch):
    events = []
    search = made(kit, listener=events.append)
    before = search.judged(search.original)

    def fail(*_, **__):
        raise TrainingError("the loss must be a number, got nan")

    monkeypatch.setattr(judging, "finetune", fail)
    assert search.finetuned(before, 1, 0) is before
    assert search.finetuned(search.original, 1, 0) == before
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes == 2 * ["left not fine-tuned: the loss must be a number, got nan"]


@pytest.mark.parametrize("higher", [True, False])
def test_slack_is_what_a_test_as_large_as_it_is_would_leave(kit, higher):
    model = kit.planted()
    sign = 1 if higher else -1

    def quality(model, split):
        return sign * (1.0 + model(split[0])[:, 0].double())

    same = kit.splits()
    larger = OptimizeData(
        calibration=same.calibration,
        dev=[same.dev[0][:60]],
        test=[torch.cat([same.test[0], same.dev[0][60:], kit.rows(60, seed=9)])],
    )
    for data in (same, larger):
        problem = kit.problem(model, quality=quality, data=data, higher=higher)
        search = made(kit, problem, margin=-0.4 if higher else 0.4)
        with torch.no_grad():
            model = search.start
            model.head.bias += 0.01 * torch.arange(3)
        candidate = search.judged(search.original)
        verdict = candidate.verdict
        assert verdict.examples == len(data.dev[0])
        factor = (len(data.dev[0]) / len(data.test[0])) ** 0.5
        bound = verdict.difference + factor * (verdict.bound - verdict.difference)
        assert candidate.slack == pytest.approx(sign * bound + 0.4)
        assert (factor == 1) == (data is same)
    assert candidate.divergence == search.reference.divergence(search.start)


def test_what_a_candidate_was_trained_for_is_kept_with_it(kit):
    search = made(kit)
    once = search.finetuned(search.original, 3, 7, rate_scale=0.5)
    assert once.trained in ((), (Finetuning(steps=3, seed=7, rate_scale=0.5),))


@pytest.fixture
def labelled(kit, monkeypatch):
    """A search with a truth to learn from, and a core that would be idle."""
    monkeypatch.setattr(finetuned_elsewhere, "can_be_beside", lambda problem: True)
    problem = replace(kit.problem(), truth=lambda batch: torch.zeros(len(batch), dtype=torch.long))
    return made(kit, problem)


def test_the_original_is_fine_tuned_beside_where_that_is_asked(labelled, monkeypatch):
    monkeypatch.setattr(judging, "_better", lambda new, old: True)
    search, before = labelled, labelled.judged(labelled.original)
    search.finetuned(before, 3, 7, rate_scale=0.5)
    assert search.beside is None
    search.finetuned(before, 3, 7, rate_scale=0.5, beside=True)
    assert search.beside.trained == (Finetuning(steps=3, seed=7, rate_scale=0.5),)
    assert search.beside.steps == 3


def test_where_a_candidate_gained_nothing_the_original_is_what_it_was_too(labelled, monkeypatch):
    better = iter([True, False])
    monkeypatch.setattr(judging, "_better", lambda new, old: next(better))
    search, before = labelled, labelled.judged(labelled.original)
    gained = search.finetuned(before, 3, 7, rate_scale=0.5, beside=True)
    kept = search.beside
    assert search.finetuned(gained, 2, 8, rate_scale=0.5, beside=True) is gained
    assert search.beside is kept
    assert kept.trained == gained.trained


def test_the_original_ends_with_a_candidate_for_which_time_is_up(labelled, monkeypatch):
    search, before = labelled, labelled.judged(labelled.original)
    monkeypatch.setattr(judging, "finetune", lambda *_, **__: 2)
    search.finetuned(before, 1_000_000, 7, rate_scale=0.5, beside=True)
    assert search.beside.trained == (Finetuning(steps=2, seed=7, rate_scale=0.5),)
    assert search.beside.steps < 1_000_000


def test_what_went_wrong_beside_is_left_to_the_proof(labelled, monkeypatch):
    def fail(*_, **__):
        raise TrainingError("nan")

    monkeypatch.setattr(finetuned_beside, "finetune", fail)
    search, before = labelled, labelled.judged(labelled.original)
    assert search.finetuned(before, 3, 7, beside=True).verdict is not None
    assert search.beside is None


def test_warming_up_is_ranked_by_divergence_and_not_judged(search, monkeypatch):
    start = replace(search.original, divergence=1e9)
    warm = search.warmed(start, 2, 1)
    assert warm.verdict is None
    assert warm.divergence == search.reference.divergence(warm.model) < 1e9
    assert len(warm.trained) == 1
    assert search.warmed(start, 0, 1) is start
    best = replace(search.original, divergence=-1.0)
    assert search.warmed(best, 2, 1) is best


def test_what_learns_the_truth_need_not_be_near_the_original(labelled):
    start = replace(labelled.original, divergence=-1.0)
    assert labelled.finetuned(start, 2, 1).trained
