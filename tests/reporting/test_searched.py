import pytest

from heedful.errors import RunError
from heedful.reporting.searched import costs_of, importance_of, judgement_of, search_of

DEV = {"difference": -0.125, "bound": -0.25, "budget": -0.5, "accepted": True}


def report(**changes):
    values = {
        "accepted": True,
        "reason": "It is faster.",
        "quality": {
            **{"metric": "chrf", "before": 61.0, "after": 60.5, "bound": -0.75, "budget": -1.0},
            **{"examples": 90, "split": "test"},
        },
        "speedup": 1.5,
        "speedup_middle_half": [1.25, 1.75],
        "latency_ms": {"before": 12.0, "after": 8.0},
        "attention_operations": {"before": 900, "after": 300},
        "parameters": {"before": 50, "after": 40},
        "goal": "latency",
        "test_looks": 3,
        "sites": [
            {"name": "a", "importance": [0.5, 0.25]},
            {"name": "b", "importance": []},
        ],
        "rounds": [
            {"round": 1, "final": False, "cost_share": 0.8, "promising": True, "dev": DEV}
            | {"plan": "p"},
            {"round": 2, "final": False, "cost_share": 0.6, "promising": False, "dev": None}
            | {"plan": "q"},
            {"round": 1, "final": True, "cost_share": 0.7, "promising": True, "dev": DEV}
            | {"plan": "p"},
        ],
        "plan": "p",
    }
    return values | changes


def test_a_judgement_holds_what_the_report_says():
    found = judgement_of(report())
    assert (found.metric, found.before, found.after) == ("chrf", 61.0, 60.5)
    assert (found.bound, found.budget, found.split) == (-0.75, -1.0, "test")
    assert (found.examples, found.looks, found.speedup) == (90, 3, 1.5)
    assert found.speedup_middle_half == (1.25, 1.75)
    assert (found.confidence, found.trained) == (0.95, None)  # of reports of older versions


AS_LONG = {"steps": 9, "wanted": 15} | {
    "against": {"before": 61.5, "difference": -0.5, "bound": -0.875, "confidence": 0.95}
    | {"accepted": False, "reason": "It is."}
}


def test_a_judgement_holds_the_original_fine_tuned_for_as_long():
    sure = report()["quality"] | {"confidence": 0.96}
    found = judgement_of(report(finetuned_original=AS_LONG, quality=sure))
    assert found.confidence == 0.96
    trained = found.trained
    assert (trained.steps, trained.wanted, trained.before) == (9, 15, 61.5)
    assert (trained.difference, trained.bound) == (-0.5, -0.875)
    assert (trained.confidence, trained.accepted) == (0.95, False)


def test_a_sentence_in_its_place_is_no_comparison():
    assert judgement_of(report(finetuned_original="Nothing was fine-tuned.")).trained is None


@pytest.mark.parametrize("against", [None, {}, AS_LONG["against"] | {"bound": "low"}])
def test_half_a_comparison_is_refused(against):
    with pytest.raises(RunError, match="the report of an optimisation must be whole, got: "):
        judgement_of(report(finetuned_original=AS_LONG | {"against": against}))


def test_the_original_comes_first_and_one_candidate_was_chosen():
    found = search_of(report())
    assert found.allowed == -0.5  # of the dev split, where candidates were judged
    assert [trial.number for trial in found.trials] == [0, 1, 2, 1]
    assert [trial.chosen for trial in found.trials] == [False, False, False, True]
    assert [trial.difference for trial in found.trials] == [0.0, -0.125, None, -0.125]
    assert [trial.kept for trial in found.trials] == [True, True, False, True]


def test_costs_are_before_and_after():
    assert [(cost.name, cost.before, cost.after) for cost in costs_of(report())] == [
        ("latency_ms", 12.0, 8.0),
        ("attention_operations", 900.0, 300.0),
        ("parameters", 50.0, 40.0),
    ]


def test_heads_have_the_importance_that_was_measured():
    assert importance_of(report()) == {"a": [0.5, 0.25]}


def test_without_a_report_nothing_is_known():
    assert judgement_of(None) is None
    assert search_of(None) is None
    assert costs_of(None) == ()
    assert importance_of(None) == {}


def test_a_refusal_that_was_judged_on_nothing():
    nothing = {"metric": "chrf", "before": None, "after": None, "bound": None}
    quality = {**nothing, "budget": -1.0, "split": None}
    found = judgement_of(report(accepted=False, quality=quality, rounds=[]))
    assert (found.accepted, found.before, found.split) == (False, None, None)
    assert search_of(report(rounds=[])) is None


@pytest.mark.parametrize(
    "read, changes",
    [
        (judgement_of, {"quality": {}}),
        (judgement_of, {"speedup_middle_half": [1.0]}),
        (judgement_of, {"speedup": "fast"}),
        (search_of, {"rounds": [{"round": 1}]}),
        (search_of, {"rounds": [7]}),
        (costs_of, {"latency_ms": None}),
    ],
)
def test_a_damaged_report_is_refused(read, changes):
    with pytest.raises(RunError, match="the report of an optimisation must be whole, got: "):
        read(report(**changes))
