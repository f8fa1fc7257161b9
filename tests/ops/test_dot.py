"""Dot-product attention keeps the contract; its checks are those of `_shapes`."""

import pytest

from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract


class TestDot(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["dot"]
