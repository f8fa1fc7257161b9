"""The learning rate: a triangle from 0 over 1 to 0."""

import pytest
from hypothesis import given
from hypothesis.strategies import floats

from heedful.errors import ConfigError
from heedful.training.schedule import rate

SHARES = floats(0, 1)
WARMUPS = floats(0, 0.99)


@given(fraction=SHARES, warmup=WARMUPS)
def test_is_the_lower_of_two_lines(fraction, warmup):
    up = fraction / warmup if warmup else 1.0
    down = (1 - fraction) / (1 - warmup)
    assert rate(fraction, warmup=warmup) == pytest.approx(min(up, down, 1.0))


def test_begins_and_ends_at_zero_and_peaks_after_the_warmup():
    assert [rate(x, warmup=0.25) for x in (0, 0.25, 1)] == [0, 1, 0]


def test_beyond_the_end_it_stays_zero():
    assert rate(1.5, warmup=0.1) == 0
    assert rate(-0.5, warmup=0.1) == 0


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
def test_rejects_a_warmup_that_is_no_share(warmup):
    with pytest.raises(ConfigError, match=f"at least 0 and below 1, got {warmup}"):
        rate(0.5, warmup=warmup)
