"""Few cases for each of many functions: every rule, and every two settings for some function."""

import itertools
import re
from pathlib import Path

import pytest

from heedful.testing.covering import SHARE, THINNED, chosen, covering
from heedful.testing.rules import RULES

TESTS = Path(__file__).parents[1]
CONTRACT = re.compile(r"^class (\w+)\(AttentionContract\)", re.MULTILINE)
# as `AttentionContract` names its cases
KEYS = sorted(
    f"{path.stem}.{name}"
    for path in (TESTS / "ops").rglob("test_*.py")
    for name in CONTRACT.findall(path.read_text(encoding="utf-8"))
)


def pairs(cases):
    """Every two settings that go together in a case, and each alone."""
    return {
        frozenset(two)
        for case in cases
        for two in itertools.combinations_with_replacement(case.items(), 2)
    }


def of(rule, found):
    return [case for name, case in found if name == rule]


@pytest.mark.parametrize("key", ["one", "other", *KEYS[:3]])
def test_a_function_meets_every_rule_and_every_setting(key):
    found = covering(key)
    assert [name for name, _ in found] == sorted((name for name, _ in found), key=list(RULES).index)
    for name, rule in RULES.items():
        cases = of(name, found)
        assert cases
        for axis in rule.cases[0]:
            met, all_of_it = ({case[axis] for case in some} for some in (cases, rule.cases))
            least = len(all_of_it)
            if axis == "kind" and name in THINNED:
                least = -(-least // SHARE)
            assert len(met) == least


@pytest.mark.parametrize("name", RULES)
def test_every_two_settings_go_together_for_some_function(name):
    assert len(KEYS) >= 39
    rule = RULES[name]
    met = pairs(case for key in KEYS for case in chosen(name, rule.cases, key))
    assert met == pairs(rule.cases)


def test_too_few_functions_leave_pairs_out():
    rule = RULES["output"]
    assert pairs(chosen("output", rule.cases, KEYS[0])) < pairs(rule.cases)


def test_the_cases_are_cases_of_the_rule_and_the_same_every_time():
    for name, case in covering("mine"):
        assert case in RULES[name].cases
    assert covering("mine") == covering("mine") != covering("yours")


def test_they_are_few():
    every = sum(len(rule.cases) for rule in RULES.values())
    assert len(covering("mine")) <= 0.4 * every
    assert {*THINNED} < {*RULES}
