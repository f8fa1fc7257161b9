"""The contract has one test for each case of each rule, and skips what is not claimed."""

import pytest
import torch

from heedful.ops import dot_attention, dot_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract
from heedful.testing.rules import RULES

GOOD = Claim(attention=dot_attention, weights=dot_weights, oracle=oracle.dot)


def cases():
    return AttentionContract.test_keeps.pytestmark[0].args[1]


def test_every_case_of_every_rule_is_a_test():
    assert [param.values[0] for param in cases()] == [
        name for name, rule in RULES.items() for _ in rule.cases
    ]
    assert len({param.id for param in cases()}) == len(cases())


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
