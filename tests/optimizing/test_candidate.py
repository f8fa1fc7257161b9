"""A candidate is promising when it would pass, with nothing to spare too."""

import pytest
from torch import nn

from heedful.allocation.plan import Plan
from heedful.optimizing.candidate import Candidate


@pytest.mark.parametrize(
    "slack, promising", [(0.3, True), (0.0, True), (-1e-9, False), (float("nan"), False)]
)
def test_promising(slack, promising):
    made = Candidate(plan=Plan(), model=nn.Identity(), share=1.0, divergence=0.0, slack=slack)
    assert made.promising is promising


def test_what_was_never_judged_promises_nothing():
    made = Candidate(plan=Plan(), model=nn.Identity(), share=1.0, divergence=0.0)
    assert made.verdict is None
    assert not made.promising
