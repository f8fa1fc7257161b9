"""What a leading command offers is done by whoever is free, and by itself where nobody is."""

from dataclasses import replace

import pytest
import torch

from heedful.optimizing.ahead import Ahead
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.company import Company, announced
from heedful.optimizing.finalists import done_by_all
from heedful.optimizing.finetune import Finetuning
from heedful.optimizing.finetuned_beside import FinetunedBeside
from heedful.optimizing.finetuned_elsewhere import (
    FinetunedElsewhere,
    goes_beside,
    original_beside,
)
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search
from heedful.optimizing.shared_work import WARMED, SharedWork
from heedful.optimizing.stored_candidate import write_candidate
from heedful.optimizing.taking_part import done
from heedful.sharing.crew import Crew
from heedful.sharing.jobs import Jobs

RECIPE = (Finetuning(steps=3, seed=4), Finetuning(steps=5, seed=9, rate_scale=0.5))


@pytest.fixture
def asked(kit):
    """A request whose truth is always the first of three labels."""
    problem = kit.problem()
    problem = replace(
        problem, truth=lambda batch: torch.zeros(len(batch), dtype=torch.long), learning_rate=1e-2
    )
    settings = kit.quick(final_steps=6)
    budget = Budget(metric="quality", margin=-0.1)
    return Request(problem=problem, budget=budget, settings=settings)


@pytest.fixture
def shared(tmp_path):
    with SharedWork(tmp_path / "crew", {"budget": "x"}, Company()) as found:
        yield found


class Other:
    """Another command, in this process; it does a job when it is told to."""

    def __init__(self, shared, asked):
        self.crew = Crew(shared.folder).__enter__()
        with self.crew.joining():
            self.jobs = Jobs(shared.folder, self.crew, announced(shared.folder).name)
        self.search, self.folder = Search(replace(asked, beside=False)), shared.folder

    def work(self):
        number, job = self.jobs.take()
        candidate, said = done(self.search, self.folder, job)
        write_candidate(self.folder / f"found-{number}.safetensors", candidate)
        self.jobs.finish(number, said)

    def leave(self):
        self.crew.__exit__()


@pytest.fixture
def other(shared, asked):
    found = Other(shared, asked)
    yield found
    found.leave()


def same(one, two):
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


def changed(search):
    """A candidate whose site has lost a head, judged."""
    prepared = search.prepare(search.original, 1)
    assignment = tuple(len(levels) - 1 for levels in prepared.table)
    return search.judged(search.candidate(prepared, assignment))


def test_nobody_is_there_and_nothing_is_offered(shared):
    assert shared.others() == 0
    shared.gather()
    shared.settle()
    assert sorted(path.name for path in shared.folder.iterdir()) == ["leader.json", "workers"]


def test_nothing_is_left_where_nothing_was_offered(tmp_path):
    with SharedWork(tmp_path / "crew", {}, Company()):
        assert announced(tmp_path / "crew") is not None
    assert list(tmp_path.iterdir()) == []


def test_each_does_a_part(shared, asked, other):
    search = Search(asked)
    candidate = changed(search)
    how = {"steps": 4, "seed": 7}
    jobs = [shared.post(WARMED, search.clock, candidate, **how) for _ in range(2)]
    other.work()
    own = []

    def do(place):
        own.append(place)
        return search.warmed(candidate, 4, 7)

    theirs, ours = done_by_all(shared, jobs, search.problem, do)
    assert own == [1]
    assert shared.done == {WARMED: 1}
    same(theirs.model, ours.model)
    assert theirs.plan.dumps() == ours.plan.dumps()
    assert theirs.divergence == pytest.approx(ours.divergence, rel=1e-4)


def test_what_one_had_begun_that_is_gone_is_done_here(shared, asked, other):
    search = Search(asked)
    job = shared.post(WARMED, search.clock, changed(search), steps=4, seed=7)
    assert other.jobs.take() is not None
    other.leave()
    assert shared.result(job, search.problem) is None
    assert shared.done == {}


def test_nobody_waits_when_time_is_up(shared, asked, other):
    search = Search(asked)
    job = shared.post(WARMED, search.clock, changed(search), steps=4, seed=7)
    other.jobs.take()
    late = Clock(1.0, now=iter([0.0, *[100.0] * 9]).__next__)
    assert shared.result(job, search.problem, clock=late) is None
    assert not other.jobs.wanted(job)


def test_cores_are_left_to_those_on_this_machine(tmp_path, asked, monkeypatch):
    told = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    company = Company(here=lambda: 1)
    with SharedWork(tmp_path / "crew", {}, company) as shared:
        other = Other(shared, asked)
        job = shared.post(WARMED, Clock(), other.search.original, steps=2, seed=1)
        assert told == [2]
        other.work()
        assert shared.result(job, asked.problem) is not None
        other.leave()
    assert told == [2, 4, 4]


def test_what_is_of_no_use_is_dropped_at_the_end(shared, asked, other):
    search = Search(asked)
    kept, dropped = (
        shared.post(WARMED, search.clock, search.original, steps=2, seed=seed) for seed in (1, 2)
    )
    shared.settle({kept})
    assert other.jobs.wanted(kept)
    assert not other.jobs.wanted(dropped)


# ---- the original --------------------------------------------------------------------------------


def test_the_original_comes_out_as_it_would_beside(shared, asked, other):
    elsewhere = FinetunedElsewhere(shared, asked.problem, RECIPE[:1], Clock())
    further = FinetunedElsewhere(shared, asked.problem, RECIPE, Clock(), elsewhere)
    assert (elsewhere.steps, further.steps, len(further.numbers)) == (3, 8, 2)
    other.work()
    other.work()
    model, steps = further.result()
    assert steps == 8
    with FinetunedBeside(asked.problem, RECIPE, Clock()) as beside:
        beside.wait()
    same(beside.model, model)
    assert elsewhere.result()[1] == 3


def test_another_beginning_is_not_gone_on_with(shared, asked, other):
    first = FinetunedElsewhere(shared, asked.problem, RECIPE[1:], Clock())
    second = FinetunedElsewhere(shared, asked.problem, RECIPE, Clock(), first)
    assert len(second.numbers) == 1


def test_an_interrupt_drops_it(shared, asked, other):
    elsewhere = FinetunedElsewhere(shared, asked.problem, RECIPE, Clock())
    with pytest.raises(KeyboardInterrupt), elsewhere:
        raise KeyboardInterrupt
    assert not other.jobs.wanted(elsewhere.numbers[0])


def test_it_is_elsewhere_where_somebody_is(shared, asked, monkeypatch):
    alone = replace(asked, shared=shared)
    assert not goes_beside(alone)  # of one thread, and nobody else
    assert original_beside(alone, Clock(), RECIPE, None) is None
    other = Other(shared, asked)
    assert goes_beside(alone)
    found = original_beside(alone, Clock(), RECIPE, None)
    assert isinstance(found, FinetunedElsewhere)
    assert not goes_beside(replace(alone, beside=False))
    assert not goes_beside(replace(alone, problem=replace(asked.problem, truth=None)))
    other.leave()


# ---- what may come next --------------------------------------------------------------------------


def test_what_comes_next_is_fine_tuned_ahead(shared, asked, other):
    search = Search(replace(asked, shared=shared))
    candidate = changed(search)
    ahead = Ahead(search)
    ahead.begin(candidate, 2)
    assert other.jobs.take() is None  # one other command, which has the original to fine-tune
    another = Other(shared, asked)
    ahead.begin(None, 2)
    assert other.jobs.take() is None
    ahead.begin(candidate, 2)
    another.work()
    found = ahead.collect(candidate, 2)
    right = Search(replace(asked, beside=False)).legs(candidate, 2)
    same(right.model, found.model)
    assert found.slack == pytest.approx(right.slack)
    assert ahead.collect(candidate, 2) is None
    another.leave()


def test_what_does_not_come_next_is_dropped(shared, asked, other):
    search = Search(replace(asked, shared=shared, problem=replace(asked.problem, truth=None)))
    candidate = changed(search)
    ahead = Ahead(search)
    ahead.begin(candidate, 2)  # without a truth one other is enough
    number, _ = other.jobs.take()
    assert ahead.collect(candidate, 3) is None
    assert not other.jobs.wanted(number)
