"""A request brings a clock of its own where nobody gives one, and cannot be changed."""

from dataclasses import FrozenInstanceError

import pytest

from heedful.optimizing.budget import Budget
from heedful.optimizing.request import Request


def test_each_request_has_a_clock_of_its_own(kit):
    asked = {"problem": kit.problem(), "budget": Budget(metric="quality", margin=-0.1)}
    one, other = (Request(**asked, settings=kit.quick()) for _ in range(2))
    assert one.clock is not other.clock
    assert not one.clock.limited
    assert one.state is None
    with pytest.raises(FrozenInstanceError):
        one.state = other.state  # ty: a value is not changed
