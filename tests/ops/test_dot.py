"""Dot-product attention keeps the contract; its checks are those of `_check`."""

import pytest

from heedful.ops import dot_attention, dot_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract


class TestDot(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(attention=dot_attention, weights=dot_weights, oracle=oracle.dot)
