"""Events are plain values, and whoever does not listen hears nothing."""

from dataclasses import FrozenInstanceError

import pytest

from heedful.optimizing.events import Note, RoundDone, Stage, ignore


def test_a_stage_may_not_know_how_far_it_is():
    assert Stage(text="timing").done is None
    assert Stage(text="fine-tuning", done=0.5) == Stage(text="fine-tuning", done=0.5)


@pytest.mark.parametrize("event", [Stage(text="x"), Note(text="x")])
def test_events_stay_as_they_are(event):
    with pytest.raises(FrozenInstanceError):
        event.text = "y"


def test_nobody_needs_to_listen():
    assert ignore(RoundDone(number=1, candidate=None)) is None
