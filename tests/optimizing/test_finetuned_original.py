"""The original trained as the answer was: beside it in the report, and deciding nothing."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from heedful.errors import TrainingError
from heedful.optimizing import finetuned_original as file
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import Stage
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.finetuned_original import (
    INTERRUPTED,
    UNLABELLED,
    UNTRAINED,
    FinetunedOriginal,
    finetune_original,
)
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search

RECIPE = (Finetuning(steps=3, seed=4), Finetuning(steps=12, seed=9, rate_scale=0.5))


@pytest.fixture
def labelled(kit):
    """A search whose truth is always the first of three labels; half of the time time is up."""

    def make(clock=None, **changes):
        problem = kit.problem()
        problem = replace(problem, truth=lambda batch: torch.zeros(len(batch), dtype=torch.long))
        problem = replace(problem, learning_rate=1e-2, **changes)
        budget = Budget(metric="quality", margin=-0.1)
        request = {"problem": problem, "budget": budget, "settings": kit.quick()}
        found = Search(Request(**request, clock=clock or Clock()))
        return found, replace(found.original, model=kit.planted(seed=3), trained=RECIPE)

    return make


def test_it_is_trained_as_the_answer_was(labelled):
    search, answer = labelled()
    torch.manual_seed(1)
    found = finetune_original(search, answer, lambda _: None)
    assert isinstance(found, FinetunedOriginal)
    assert (found.steps, found.wanted) == (15, 15)
    torch.manual_seed(1)
    model = search.start
    for each in RECIPE:
        finetune(model, search.problem, each)
    problem = search.problem
    score = problem.metric.score(problem.statistics(model.eval(), "test"))
    assert found.verdict.before == pytest.approx(score)
    after = problem.metric.score(problem.statistics(answer.model, "test"))
    assert found.verdict.after == pytest.approx(after)


def test_it_is_told_and_said(labelled):
    search, answer = labelled()
    events = []
    found = finetune_original(search, answer, events.append)
    shares = [event.done for event in events if isinstance(event, Stage)]
    assert shares == [0.0, 13 / 15]
    verdict = found.verdict
    assert str(found) == (
        f"Fine-tuned for as long (15 steps), the original has {verdict.before:.5g}: against that "
        f"the difference is {verdict.difference:+.4g}, no worse than {verdict.bound:+.4g} with 95 "
        "% confidence, not within the budget for certain."
    )
    kept = replace(found, verdict=replace(verdict, accepted=True), steps=9)
    assert "(9 of 15 steps)" in str(kept)
    assert str(kept).endswith("confidence, also within the budget.")
    assert found.to_json().keys() == {"steps", "wanted", "against"}


def test_where_nothing_was_trained_or_nothing_is_known_it_says_so(kit, labelled):
    search, answer = labelled()
    assert finetune_original(search, replace(answer, trained=()), print) == UNTRAINED
    search.problem = replace(search.problem, truth=None)
    assert finetune_original(search, answer, print) == UNLABELLED


def test_it_ends_when_time_is_up(labelled):
    class Now:
        seconds = 0.0

        def __call__(self):
            self.seconds += 1.0
            return self.seconds

    search, answer = labelled(clock=Clock(0.5, now=(now := Now())))
    now.seconds = 26.0
    search.clock.took["dev"] = 0.0
    found = finetune_original(search, answer, lambda _: None)
    assert 0 < found.steps < found.wanted == 15


@pytest.mark.parametrize(
    "error, said",
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (TrainingError("nan"), "Fine-tuned for as long, the original is of no use: nan"),
    ],
)
def test_what_goes_wrong_costs_no_verdict(labelled, monkeypatch, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(file, "finetune", fail)
    assert finetune_original(*labelled(), lambda _: None) == said


def test_what_was_fine_tuned_beside_is_not_fine_tuned_again(labelled, kit, monkeypatch):
    search, answer = labelled()
    model = kit.planted(seed=8)
    search.beside = SimpleNamespace(trained=RECIPE, result=lambda: (model, 15))
    monkeypatch.setattr(file, "finetune", lambda *_, **__: pytest.fail("again"))
    problem = search.problem
    after = problem.statistics(answer.model, "test")
    asked = []
    search.problem = replace(
        problem, statistics=lambda *given: asked.append(given) or problem.statistics(*given)
    )
    found = finetune_original(search, answer, lambda _: None, after=after)
    assert asked == [(model, "test")]
    assert (found.steps, found.wanted) == (15, 15)
    assert found.verdict.before == problem.metric.score(problem.statistics(model, "test"))


def test_what_was_fine_tuned_otherwise_is_no_comparison(labelled, monkeypatch):
    search, answer = labelled()
    search.beside = SimpleNamespace(trained=RECIPE[:1], result=lambda: pytest.fail("asked"))
    assert finetune_original(search, answer, lambda _: None).steps == 15


def test_what_nobody_has_fine_tuned_beside_is_fine_tuned_now(labelled):
    search, answer = labelled()
    search.beside = SimpleNamespace(trained=RECIPE, result=lambda: None)
    assert finetune_original(search, answer, lambda _: None).steps == 15
