"""The original in a second thread comes out as it would alone, and ends when it is told to."""

from dataclasses import replace

import pytest
import torch

from heedful.allocation.plan import unfused
from heedful.optimizing import finetuned_beside as file
from heedful.optimizing.clock import Clock
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.finetuned_beside import FinetunedBeside, can_be_beside

RECIPE = (Finetuning(steps=3, seed=4), Finetuning(steps=5, seed=9, rate_scale=0.5))


@pytest.fixture
def problem(kit):
    found = kit.problem()
    return replace(
        found, truth=lambda batch: torch.zeros(len(batch), dtype=torch.long), learning_rate=1e-2
    )


@pytest.fixture
def two_threads(monkeypatch):
    """Say that there are two, and keep what is asked for: the tests run with one."""
    asked = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: asked[-1] if asked else 2)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    return asked


def test_it_comes_out_as_it_would_alone(problem, two_threads):
    other = unfused(problem.model)
    with FinetunedBeside(problem, RECIPE, Clock()) as beside:
        for each in RECIPE:
            finetune(other, problem, each)
        beside.wait()
    assert (beside.steps, beside.error) == (8, None)
    start = unfused(problem.model).state_dict()
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(beside.model.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(tensor, start[name]) for name, tensor in other.state_dict().items())


def test_each_has_half_of_the_threads_meanwhile(problem, two_threads):
    with FinetunedBeside(problem, RECIPE, Clock()) as beside:
        beside.wait()
    assert two_threads == [1, 2]


def test_it_ends_where_nobody_waits(problem, two_threads):
    long = (Finetuning(steps=1_000_000),)
    with pytest.raises(KeyboardInterrupt), FinetunedBeside(problem, long, Clock()) as beside:
        raise KeyboardInterrupt
    assert beside.steps < 1_000_000
    assert two_threads == [1, 2]


def test_it_ends_when_time_is_up(problem, two_threads):
    clock = Clock(1.0, now=lambda: 0.0)
    clock.kept = 61.0
    with FinetunedBeside(problem, RECIPE, clock) as beside:
        beside.wait()
    assert beside.steps == 2  # the first one of each


def test_it_leaves_time_to_judge(problem, two_threads):
    clock = Clock(1.0, now=lambda: 0.0)
    clock.took["dev"] = 31.0
    with FinetunedBeside(problem, RECIPE[:1], clock) as beside:
        beside.wait()
    assert beside.steps == 1


def test_what_goes_wrong_is_kept(problem, two_threads, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr(file, "finetune", fail)
    with FinetunedBeside(problem, RECIPE, Clock()) as beside:
        beside.wait()
    assert str(beside.error) == "no"


@pytest.mark.parametrize(
    "threads, labelled, can", [(2, True, True), (1, True, False), (2, False, False)]
)
def test_it_needs_a_truth_and_an_idle_core(problem, monkeypatch, threads, labelled, can):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert can_be_beside(problem if labelled else replace(problem, truth=None)) is can


def test_an_earlier_one_is_gone_on_with(problem, two_threads):
    with FinetunedBeside(problem, RECIPE[:1], Clock()) as first:
        first.wait()
    with FinetunedBeside(problem, RECIPE, Clock(), first) as second:
        second.wait()
    assert (first.steps, second.steps) == (3, 8)
    other = unfused(problem.model)
    for each, beside in zip(RECIPE, (first, second), strict=True):  # the first is left as it was
        finetune(other, problem, each)
        for name, tensor in other.state_dict().items():
            found = beside.model.state_dict()[name]
            torch.testing.assert_close(found, tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("taken, recipe", [(3, RECIPE[1:]), (2, RECIPE)])
def test_what_was_cut_short_or_is_another_one_is_begun_anew(problem, two_threads, taken, recipe):
    with FinetunedBeside(problem, RECIPE[:1], Clock()) as first:
        first.wait()
    first.steps = taken
    with FinetunedBeside(problem, recipe, Clock(), first) as second:
        second.wait()
    assert second.model is not first.model
    assert second.steps == sum(each.steps for each in recipe)
