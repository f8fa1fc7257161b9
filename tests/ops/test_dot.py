"""Dot-product attention keeps the contract; its checks are those of `_check`."""

import pytest

from heedful.ops import dot_attention, dot_weights
from heedful.testing import oracle
from heedful.testing.contracts import AttentionContract, Mechanism


class TestDot(AttentionContract):
    @pytest.fixture
    def mechanism(self):
        return Mechanism(attention=dot_attention, weights=dot_weights, oracle=oracle.dot)
