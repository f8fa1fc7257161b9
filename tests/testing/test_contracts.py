"""The contract has one test for each case of each rule, and skips what is not claimed."""

import subprocess
import sys

import pytest
import torch

from heedful.ops import dot_attention, dot_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract, cases_of
from heedful.testing.rules import RULES

GOOD = Claim(attention=dot_attention, weights=dot_weights, oracle=oracle.dot)
# one contract as it comes, and one that names its cases itself
MINE = """
import pytest
from heedful.testing.contracts import AttentionContract


class TestMine(AttentionContract):
    pass


class TestOwn(AttentionContract):
    @pytest.mark.parametrize("rule, case", [("no_dropout", {})])
    def test_keeps(self, rule, case):
        pass
"""


class Whole(AttentionContract):
    every_case = True


def names(contract):
    return [param.values[0] for param in cases_of(contract)]


def test_every_case_of_every_rule_is_a_test():
    assert names(Whole) == [name for name, rule in RULES.items() for _ in rule.cases]
    assert len({param.id for param in cases_of(Whole)}) == len(names(Whole))


def test_of_many_functions_each_meets_every_rule_in_some_cases():
    class Some(Whole):
        every_case = False

    class Other(Some):
        pass

    assert set(names(Some)) == set(RULES)
    assert len(names(Some)) < 0.4 * len(names(Whole))
    assert [param.id for param in cases_of(Some)] != [param.id for param in cases_of(Other)]


def test_where_nothing_that_was_drawn_is_claimed_another_case_is_met():
    seen = []

    def watched(query, key, value, *, mask):
        seen.append(mask)
        return dot_attention(query, key, value, mask=mask)

    claim = Claim(attention=watched, oracle=oracle.dot, masks=("lengths",))
    AttentionContract().test_keeps(claim, "batch_rows", {"kind": "both"})
    assert seen
    with pytest.raises(pytest.skip.Exception, match="masks of the kind both"):
        Whole().test_keeps(claim, "batch_rows", {"kind": "both"})


def test_outside_this_suite_a_function_meets_every_case(tmp_path):
    (tmp_path / "test_mine.py").write_text(MINE, encoding="utf-8")
    words = ("-m", "pytest", "-q", "--collect-only", "--rootdir", str(tmp_path), str(tmp_path))
    left = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    cases = sum(len(rule.cases) for rule in RULES.values())
    assert f"{cases + 1} tests collected" in left.stdout


def test_a_broken_promise_is_red():
    def halved(query, key, value, *, mask):
        return dot_attention(query, key, value, mask=mask) / 2

    case = {"sizes": "fewer_queries", "kind": "none", "dtype": torch.float64}
    AttentionContract().test_keeps(GOOD, "output", case)
    bad = Claim(attention=halved, oracle=oracle.dot)
    with pytest.raises(AssertionError, match="not close"):
        AttentionContract().test_keeps(bad, "output", case)


def test_what_is_not_claimed_is_skipped_with_its_reason():
    silent = Claim(attention=dot_attention, oracle=oracle.dot)
    with pytest.raises(pytest.skip.Exception, match="it does not return weights"):
        AttentionContract().test_keeps(silent, "weights_make_the_output", {"kind": "none"})
