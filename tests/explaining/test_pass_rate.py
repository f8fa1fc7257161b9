"""The share of verified explanations, with its interval, and every word counted."""

import json

import numpy as np
import pytest

from heedful.errors import DataError
from heedful.explaining.explanation import Explanation, NotExplainable
from heedful.explaining.pass_rate import pass_rate
from heedful.explaining.verdict import judge
from heedful.metrics.interval import wilson
from heedful.testing.planted_evidence import plant_evidence


def explanation(weights, verdict):
    return Explanation(
        pieces=("a",),
        targets=("x",),
        weights=weights,
        method="known",
        removal="a blank",
        verdict=verdict,
    )


def test_it_counts_words():
    explanations = []
    for seed in range(4):
        planted = plant_evidence(seed=seed)
        for weights in (planted.weights, -planted.weights):
            found = judge(planted.model, planted.question, weights, resemblance=0.0, seed=seed)
            explanations.append(explanation(weights, found))
    explanations.append(explanation(np.zeros((1, 1)), None))
    found = pass_rate(iter(explanations))
    assert (found.share, found.tested) == (0.5, 8)
    assert found.interval == wilson(4, 8)
    assert found.words == {
        "verified": 4,
        "no better than random": 0,
        "misleading sign": 4,
        "ignores the model": 0,
        "inconclusive": 0,
        "not tested": 1,
    }
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["words"]["verified"] == 4


def test_rejects_what_was_not_tested():
    untested = [explanation(np.zeros((1, 1)), None)] * 2
    with pytest.raises(DataError, match="an explanation must be tested, got 2 that are not"):
        pass_rate(untested)


def test_what_has_no_explanation_is_counted_with_its_reason_and_in_no_share():
    planted = plant_evidence(seed=1)
    found = judge(planted.model, planted.question, planted.weights, resemblance=0.0, seed=1)
    silent = [NotExplainable("heard nothing"), NotExplainable("too long")]
    rate = pass_rate([*silent, explanation(planted.weights, found), silent[0]])
    assert (rate.share, rate.tested, rate.interval) == (1.0, 1, wilson(1, 1))
    assert list(rate.not_explainable.items()) == [("heard nothing", 2), ("too long", 1)]
    assert json.loads(json.dumps(rate.to_json()))["not_explainable"] == rate.not_explainable


@pytest.mark.parametrize(
    "reasons, got", [(["a"] * 2, "none of 2: a"), ([*"abb"], "none of 3, most often: b")]
)
def test_where_nothing_can_be_explained_that_is_said(reasons, got):
    with pytest.raises(DataError, match=f"an example must be explainable, got {got}"):
        pass_rate(map(NotExplainable, reasons))
