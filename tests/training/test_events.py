"""What a training tells is plain data that nobody can change."""

import dataclasses
from pathlib import Path

import pytest

from heedful.training.events import Evaluated, Finished, Message, Started, Step

EVENTS = (
    Started(run=Path("a"), parameters=3, precision="fp32", examples={"train": 2}, skipped=1),
    Step(
        step=20,
        fraction=0.5,
        loss=2.0,
        learning_rate=0.1,
        per_second=9.0,
        unit="images",
        seconds=1.0,
        remaining=3.0,
    ),
    Evaluated(step=20, fraction=0.5, scores={"accuracy": 0.5}, best=True),
    Finished(run=Path("a"), step=40, seconds=2.0, reason="limit reached"),
    Message(text="a word"),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_frozen_and_told_by_name(event):
    values = dataclasses.asdict(event)
    assert type(event)(**values) == event
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, next(iter(values)), None)
    with pytest.raises(TypeError):
        type(event)(*values.values())


def test_a_step_of_one_loss_has_no_further_values():
    first, second = EVENTS[1], dataclasses.replace(EVENTS[1], step=40)
    assert first.values == second.values == {}
