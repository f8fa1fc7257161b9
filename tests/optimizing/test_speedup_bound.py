"""Amdahl's bound, and lengths at which attention would weigh more."""

import re

import pytest

from heedful.optimizing.speedup_bound import WorkShare, why_not_faster


@pytest.mark.parametrize("attention, bound", [(0.0, 1.0), (0.5, 2.0), (0.8, 5.0)])
def test_the_bound_is_what_remains_without_attention(attention, bound):
    assert WorkShare(attention=attention, quadratic=0.5, length=9).bound == pytest.approx(bound)


def test_all_attention_has_no_bound_to_speak_of():
    assert WorkShare(attention=1.0, quadratic=0.5, length=9).bound >= 1e8


def test_the_share_follows_the_length_by_hand():
    share = WorkShare(attention=0.2, quadratic=0.25, length=100)
    assert share.at(100) == pytest.approx(0.2)
    # four times the length: scores take four times as long for each place, all else as before
    linear, scores, rest = 0.2 * 0.75, 0.2 * 0.25 * 4, 0.8
    assert share.at(400) == pytest.approx((linear + scores) / (linear + scores + rest))


def test_the_length_for_a_share_reaches_it_and_its_half_does_not():
    share = WorkShare(attention=0.2, quadratic=0.25, length=100)
    length = share.length_for(0.5)
    assert share.at(length) >= 0.5 > share.at(length / 2)
    assert share.length_for(0.1) == 100


@pytest.mark.parametrize("attention, quadratic", [(0.2, 0.0), (0.0, 0.5)])
def test_what_does_not_grow_never_gets_there(attention, quadratic):
    assert WorkShare(attention=attention, quadratic=quadratic, length=9).length_for(0.5) is None


def test_says_what_dominates_and_from_where_on_it_would_be_otherwise():
    text = why_not_faster(
        WorkShare(attention=0.2, quadratic=0.25, length=100), "0.98x (0.97 to 0.99)"
    )
    assert text.startswith(
        "it must be faster, got 0.98x (0.97 to 0.99): attention takes 20% of the time at 100 keys, "
        "so no plan can win more than 1.25x; the rest is feed-forward"
    )
    assert re.search(r"From about 1,600 keys on it would be half\.$", text)


def test_says_no_length_where_there_is_none():
    assert "From about" not in why_not_faster(
        WorkShare(attention=0.2, quadratic=0, length=100), "1.00x"
    )


def test_where_attention_dominates_the_cut_was_too_small():
    text = why_not_faster(WorkShare(attention=0.6, quadratic=0.5, length=100), "1.00x")
    assert text.endswith("What was cut here costs little; cut more, or loosen the budget.")
