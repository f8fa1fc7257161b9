"""From what promises to pass to what is proved: where the best fails, the next is the answer."""

from dataclasses import replace

import pytest
import torch

from heedful.allocation.plan import Plan
from heedful.bench.timing import Ratio
from heedful.metrics.metric import per_example
from heedful.optimizing import proof as file
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import Note
from heedful.optimizing.proof import (
    FEWEST_TIMINGS,
    MOST_LOOKS,
    decisive,
    keep_time_for_proof,
    prove,
)
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search

FASTER, SLOWER = Ratio(1.5, 1.4, 1.6), Ratio(1.1, 0.9, 1.3)


@pytest.fixture
def made(kit, monkeypatch):
    """A search with candidates of falling saving: each `(speed, lost on the test split)`."""

    def make(*each, examples=120, goal="latency"):
        search = Search(
            Request(
                problem=kit.problem(data=kit.splits(examples)),
                budget=Budget(metric="quality", margin=-0.1),
                settings=kit.quick(goal=goal),
                listener=events.append,
            )
        )
        lost, speeds = {}, {}
        for number, (speed, loses) in enumerate(each):
            model = kit.planted(seed=10 + number)
            lost[model], speeds[model] = loses, speed
            search.answers._kept.append(
                replace(
                    search.original,
                    model=model,
                    plan=Plan(linear="int8"),
                    share=0.1 + number / 10,
                    slack=1.0,
                )
            )

        def statistics(model, split):
            right = torch.ones(examples)
            right[: round(lost.get(model, 0) * examples)] = 0
            return per_example(right)

        search.problem = replace(search.problem, statistics=statistics)
        monkeypatch.setattr(
            file,
            "_timed",
            lambda problem, model, rounds: (speeds.get(model, FASTER), {"rounds": rounds}),
        )
        return search

    events = []
    make.events = events
    return make


def outcome(search, events):
    proofs = prove(search, events.append)
    return [
        "accepted" if each.accepted else "refused" if each.verdict else "slow" for each in proofs
    ], proofs


@pytest.mark.parametrize(
    "each, ends",
    [
        ([(FASTER, 0), (FASTER, 0)], ["accepted"]),
        ([(FASTER, 0.3), (FASTER, 0)], ["refused", "accepted"]),
        ([(SLOWER, 0), (FASTER, 0)], ["slow", "accepted"]),
        ([(SLOWER, 0), (FASTER, 0.3), (FASTER, 0.2), (FASTER, 0)], "slow refused refused accepted"),
        ([(FASTER, 0.3), (SLOWER, 0)], ["refused", "slow"]),
        ([(FASTER, 0.3)] * 5, ["refused"] * MOST_LOOKS),
        ([(SLOWER, 0)] * 5, ["slow"] * 5),
    ],
)
def test_where_one_fails_the_next_is_asked(made, each, ends):
    found, proofs = outcome(made(*each), made.events)
    assert found == (ends.split() if isinstance(ends, str) else ends)
    chosen = decisive(proofs)
    if "accepted" in found:
        assert chosen is proofs[-1]
    else:
        assert chosen is proofs[found.index("refused") if "refused" in found else 0]
    told = [event.text for event in made.events if isinstance(event, Note)]
    assert [text.partition(" is ")[0] for text in told[: len(found) - 1]] == [
        f"the one at {number}0% of the cost" for number in range(1, len(found))
    ]


def test_each_further_candidate_must_be_surer(made):
    _, proofs = outcome(made((FASTER, 0.3), (SLOWER, 0), (FASTER, 0.3), (FASTER, 0)), made.events)
    assert [proof.looks for proof in proofs] == [1, 0, 2, 3]
    confidences = [proof.verdict.confidence for proof in proofs if proof.verdict]
    assert confidences == pytest.approx([0.96, 0.995, 1 - 0.01 / 6])


def test_what_a_first_look_would_accept_a_second_one_may_not(made):
    """Nothing differs: of 40 examples 8 % may, at the first look, and 12 % at the second."""
    assert outcome(made((FASTER, 0), examples=40), made.events)[0] == ["accepted"]
    found = outcome(made((FASTER, 0.5), (FASTER, 0), examples=40), made.events)[0]
    assert found == ["refused", "refused"]


def test_without_any_candidate_the_original_is_timed(made):
    search = made()
    _, (proof,) = outcome(search, made.events)
    assert proof.best is search.original
    assert not proof.accepted
    assert decisive([proof]) is proof


def test_a_refused_one_as_plain_data(made):
    _, (first, _) = outcome(made((FASTER, 0.3), (FASTER, 0)), made.events)
    found = first.to_json()
    assert found.keys() == {"plan", "speedup", "test"}
    assert (found["speedup"], found["test"]["accepted"]) == (1.5, False)


@pytest.mark.parametrize("goal", ["memory", "macs"])
def test_other_goals_need_not_be_faster(made, goal):
    found, (proof,) = outcome(made((SLOWER, 0), goal=goal), made.events)
    assert found == ["accepted"]
    assert proof.after is not None


@pytest.mark.parametrize("goal", ["memory", "macs"])
def test_other_goals_must_cost_less(made, goal):
    search = made((FASTER, 0), goal=goal)
    search.answers._kept = [replace(search.answers._kept[0], share=1.0)]
    assert outcome(search, made.events)[0] == ["slow"]
    assert made.events[-1].text.startswith(f"the one at 100% of the {file.COUNTED[goal]} is not ")


def test_without_any_candidate_and_time_what_was_measured_first_is_told(made):
    search = made()
    search.clock = Clock(1.0, now=(now := Steps(0.0)))
    search.clock.took["use"] = 5.0
    for spent, latency in (
        (40.0, {"rounds": FEWEST_TIMINGS}),
        (41.0, {"before": 5e3, "after": 5e3}),
    ):
        now.seconds = spent
        (proof,) = outcome(search, made.events)[1]
        assert (proof.latency, proof.accepted) == (latency, False)


def test_time_is_kept_for_the_proof(made):
    search = made()
    keep_time_for_proof(search)
    assert search.clock.kept == 0
    search.clock = Clock(5.0, now=lambda: 0.0)
    search.clock.took["dev"] = 7.0
    keep_time_for_proof(search)
    assert search.clock.kept == pytest.approx(14.0)  # both sides of a test as large as dev
    search.problem = replace(search.problem, truth=lambda batch: batch)
    keep_time_for_proof(search)
    assert search.clock.kept == pytest.approx(21.0)  # and of the original fine-tuned for as long


class Steps:
    """A clock that goes on by so many seconds whenever somebody looks."""

    def __init__(self, by):
        self.seconds, self.by = 0.0, by

    def __call__(self):
        self.seconds += self.by
        return self.seconds


@pytest.mark.parametrize("use, rounds", [(0.1, 9), (4.0, 6), (30.0, 3)])
def test_the_final_timing_fits_into_a_fifth_of_the_time(made, use, rounds):
    search = made((FASTER, 0))
    search.clock = Clock(5.0, now=(now := Steps(0.0)))
    search.clock.took["dev"] = 1.0
    search.problem = replace(search.problem, use=lambda model: None)
    now.by = use
    keep_time_for_proof(search)
    now.by = 0.0
    assert search.clock.kept == pytest.approx(2 * (rounds + 1) * use + 2)
    (proof,) = outcome(search, made.events)[1]
    assert proof.latency["rounds"] == rounds


@pytest.mark.parametrize("spent, rounds", [(200.0, 9), (325.0, 6), (345.0, FEWEST_TIMINGS)])
def test_a_search_that_took_too_long_leaves_less_for_the_timing(made, spent, rounds):
    search = made((FASTER, 0))
    search.clock = Clock(5.0, now=(now := Steps(0.0)))
    search.clock.took |= {"use": 1.0, "dev": 1.0}
    search.clock.kept, now.seconds = 20.0, spent
    (proof,) = outcome(search, made.events)[1]
    assert proof.latency["rounds"] == rounds


@pytest.mark.parametrize("spent, found", [(53.0, ["refused", "accepted"]), (54.0, ["refused"])])
def test_no_further_candidate_is_proved_when_time_is_up(made, spent, found):
    search = made((FASTER, 0.3), (FASTER, 0))
    search.clock = Clock(1.0, now=(now := Steps(0.0)))
    search.clock.took |= {"use": 1.0, "judging": 5.0}
    now.seconds = spent
    assert outcome(search, made.events)[0] == found
    up = Note(text="the time is up before another candidate could be proved")
    assert (made.events[-1] == up) is (len(found) == 1)
