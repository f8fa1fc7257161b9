"""A report has a row for every rule, and says of each what came of it."""

import json

import pytest

from heedful.errors import UnsupportedError
from heedful.ops import dot_attention, dot_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.rules import RULES
from heedful.testing.verification import verify

GOOD = Claim(attention=dot_attention, weights=dot_weights, oracle=oracle.dot)
SOME = {name: RULES[name] for name in ("weights_sum_to_one", "decoding", "no_dropout")}


def only(claim, rule):
    (row,) = verify(claim, rules={rule: RULES[rule]}).rows
    return row


def test_every_rule_has_a_row():
    heard = []
    report = verify(GOOD, rules=SOME, name="mine", on_progress=heard.append)
    assert [row.rule for row in report.rows] == heard == list(SOME)
    assert [row.verdict for row in report.rows] == ["passed", "passed", "not claimed"]
    data = json.loads(json.dumps(report.to_json()))
    assert data["function"] == "mine"
    assert (data["passed"], data["failed"], data["unsupported"], data["not_claimed"]) == (
        2,
        0,
        0,
        1,
    )
    assert data["rules"][0]["promise"] == RULES["weights_sum_to_one"].promise
    assert data["rules"][0]["passed"] == len(RULES["weights_sum_to_one"].cases)


def test_the_function_gives_the_report_its_name():
    assert verify(GOOD, rules={}).function == "dot_attention"


def test_one_wrong_case_breaks_the_rule_and_is_shown():
    def stretches(query, key, value, *, mask):
        output = dot_attention(query, key, value, mask=mask)
        return output * (2 if key.shape[1] == 2 else 1)

    row = only(Claim(attention=stretches, oracle=oracle.dot), "grouped_heads")
    assert (row.verdict, row.passed, row.failed) == ("failed", 1, len(RULES[row.rule].cases) - 1)
    assert row.example.startswith("kind=none: Greatest absolute difference: ")


@pytest.mark.parametrize("refused, verdict", [((None,), "partly"), ((None, True), "unsupported")])
@pytest.mark.parametrize("guessed", [True, False])
def test_a_function_that_refuses_does_not_keep_the_rule(refused, verdict, guessed):
    def partly(query, key, value, *, mask):
        if (mask is None) in [kind is None for kind in refused]:
            raise UnsupportedError("not today")
        return dot_attention(query, key, value, mask=mask)

    claim = Claim(attention=partly, oracle=oracle.dot, inferred=guessed)
    report = verify(claim, rules={"batch_rows": RULES["batch_rows"]})
    row = report.rows[0]
    assert row.verdict == verdict
    assert row.unsupported >= 1
    assert row.example == "kind=none: UnsupportedError: not today"
    nothing = "some rule must hold, got 1 that are refused"
    refusal = "" if guessed else "what is claimed must not be refused, got 1 rules where it is"
    assert report.problem == (nothing if verdict == "unsupported" else refusal)


def test_a_function_that_never_answers_keeps_nothing():
    def never(query, key, value, *, mask):
        raise TypeError("what is a mask?")

    report = verify(Claim(attention=never, oracle=oracle.dot, inferred=True), rules=SOME)
    assert [row.verdict for row in report.rows] == ["not claimed", "failed", "not claimed"]
    assert report.rows[1].example == "kind=causal: it raised TypeError: what is a mask?"
    assert report.problem == "every rule must hold, got 1 that do not"


def test_what_no_case_claims_is_not_claimed():
    row = only(Claim(attention=dot_attention, oracle=oracle.dot), "weights_sum_to_one")
    assert (row.verdict, row.passed, row.example) == ("not claimed", 0, "")
