"""Routes that do not fit what the model computed are told so."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from heedful.errors import UnsupportedError
from heedful.explaining.question import SOURCE, Step
from heedful.explaining.rollout import rollout

sys.path.insert(0, str(Path(__file__).parent))
from routed import routed


def changed(kind, **changes):
    asked = routed(kind)
    route = replace(asked.question.route, **changes)
    return asked.model, replace(asked.question, route=route)


def test_a_step_that_nothing_leads_to_is_passed_over():
    asked = routed("row")
    more = (*asked.question.route.steps, Step(site="encoder.own.0", queries="elsewhere"))
    model, question = changed("row", steps=more)
    found = rollout(model, question).weights
    assert found.tolist() == rollout(asked.model, asked.question).weights.tolist()


def test_places_may_be_fewer_than_keys_where_padding_stands_behind():
    model, question = changed("row", places={SOURCE: (0, 1, 2, 3)})
    assert rollout(model, question).weights.shape == (3, 4)


@pytest.mark.parametrize(
    "kind, changes, message",
    [
        ("row", {"rows": (0, 7, 0)}, r"places from 0 to 6 of source, got \[0, 7, 0\]"),
        ("row", {"rows": (0, -1, 0)}, r"places from 0 to 6 of source, got \[0, -1, 0\]"),
        ("row", {"places": {SOURCE: (0,) * 8}}, "source must have 8 places, got 7 keys"),
        ("row", {"answer": "nowhere"}, "must have a step at its answer, got none at 'nowhere'"),
        (
            "pooling",
            {"steps": (Step(site="pooling"), Step(site="encoder.own.0"))},
            "encoder.own.0 must look from 1 places of source, got 7 rows",
        ),
    ],
)
def test_rejects_routes_that_do_not_fit(kind, changes, message):
    if kind == "pooling":
        changes = {**changes, "answer": SOURCE}
    with pytest.raises(UnsupportedError, match=message):
        rollout(*changed(kind, **changes))
