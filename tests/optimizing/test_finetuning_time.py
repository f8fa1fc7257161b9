"""Time for fine-tuning is shared with the original, where that has something to learn."""

import pytest

from heedful.optimizing.clock import Clock
from heedful.optimizing.descent import STOP
from heedful.optimizing.events import Stage
from heedful.optimizing.finetune import Finetuning
from heedful.optimizing.finetuning_time import SLOWER, FinetuningTime


class Now:
    """A clock that stands where it is put."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def made():
    def make(*, labelled, minutes=1.0):
        now, events = Now(), []
        clock = Clock(minutes, now=now)
        clock.took["dev"] = 5.0
        return FinetuningTime(clock, labelled=labelled, tell=events.append), now, events

    return make


@pytest.mark.parametrize("labelled, seconds", [(False, 51.0), (True, 50.0 / (1 + SLOWER) + 1)])
def test_it_stops_while_there_is_time_to_judge(made, labelled, seconds):
    found, now, events = made(labelled=labelled)
    after = found.watched(100)
    now.seconds = 20.0
    assert after(2) is None
    assert found.clock.took["step"] == 10.0
    now.seconds = seconds
    assert after(10) is STOP
    assert events == [Stage(text="fine-tuning", done=0.1)]


@pytest.mark.parametrize("labelled, steps", [(False, 24), (True, 10)])
def test_so_many_steps_fit(made, labelled, steps):
    found, *_ = made(labelled=labelled)
    found.clock.took["step"] = 2.0
    assert found.steps(100, share=4 / 5) == steps
    assert found.steps(3, share=4 / 5) == 3
    assert made(labelled=labelled, minutes=None)[0].steps(100, share=4 / 5) == 100


def test_an_original_that_is_fine_tuned_meanwhile_needs_no_time_of_its_own(made):
    found, now, _ = made(labelled=True)
    now.seconds = 20.0
    after = found.watched(100, beside=True)
    now.seconds = 40.0
    assert after(10) is None
    assert found.clock.took["step"] == 2.0
    assert found.steps(100, share=4 / 5, beside=True) == 8 > found.steps(100, share=4 / 5)
    now.seconds = 51.0
    assert after(11) is STOP
    found.keep((Finetuning(steps=15), Finetuning(steps=5)), done=18)
    assert found.clock.kept == pytest.approx(SLOWER * 2 * found.clock.took["step"])


def test_time_for_the_original_is_kept_once(made):
    found, *_ = made(labelled=True)
    found.clock.took["step"] = 0.5
    trained = (Finetuning(steps=15), Finetuning(steps=5))
    for kept in (trained, trained[:1], trained):
        found.keep(kept)
        assert found.clock.kept == pytest.approx(SLOWER * 10)
    without, *_ = made(labelled=False)
    without.clock.took["step"] = 0.5
    without.keep(trained)
    assert without.clock.kept == 0
