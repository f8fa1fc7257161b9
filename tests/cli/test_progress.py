import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from heedful.cli.progress import TrainingProgress, describe, duration, working
from heedful.training.alarms import Alarm
from heedful.training.events import Evaluated, Finished, Message, Started, Step, Watched

STARTED = Started(
    run=Path("r"), parameters=12345, precision="bf16", examples={"train": 2800, "dev": 9}, skipped=0
)
SCORES = {"dev_loss": 1.25, "token_accuracy": 0.625}
EVALUATED = Evaluated(step=20, fraction=0.31, scores=SCORES, best=True)
FINISHED = Finished(run=Path("r"), step=64, seconds=3725.0, reason="limit reached")


def step(number):
    return Step(
        step=number,
        fraction=number / 64,
        loss=2.5,
        learning_rate=1e-3,
        per_second=4321.0,
        unit="tokens",
        seconds=float(number),
        remaining=75.0,
    )


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_off_a_terminal_steps_are_ten_seconds_apart(capsys):
    clock = Clock()
    with TrainingProgress(terminal=False, clock=clock) as progress:
        progress(STARTED)
        for second in range(25):
            clock.now = float(second)
            progress(step(second))
        progress(EVALUATED)
        progress(FINISHED)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "data: reading or making it, and learning what it is made of …",  # before any event
        "run r: 12,345 parameters in bf16, examples: 2,800 train, 9 dev",
        "  0%  step 0  loss 2.500  4,321 tokens/s  eta 1:15",
        " 16%  step 10  loss 2.500  4,321 tokens/s  eta 1:15",
        " 31%  step 20  loss 2.500  4,321 tokens/s  eta 1:15",
        " 31%  step 20  dev loss 1.250  token accuracy 0.625  best so far",
        "finished after 64 steps in 1:02:05: limit reached",
    ]
    assert progress.run == Path("r")


def test_on_a_terminal_a_bar_shows_the_last_step(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stream for a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with TrainingProgress(terminal=True) as progress:
        progress(step(3))
        progress(EVALUATED)
        progress(step(32))
    out, err = capsys.readouterr()
    assert out == ""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert " 50%  step 32  loss 2.500  4,321 tokens/s  eta 1:15" in plain
    assert "dev loss 1.250  token accuracy 0.625  best so far" in plain


def test_quiet_shows_messages_only(capsys):
    with TrainingProgress(quiet=True) as progress:
        for event in (STARTED, step(1), EVALUATED, FINISHED, Message(text="[read] this")):
            progress(event)
    assert capsys.readouterr() == ("", "[read] this\n")
    assert progress.run == Path("r")


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "0:00"), (59.6, "1:00"), (245, "4:05"), (3845, "1:04:05"), (-3, "0:00")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_working_says_so_in_one_line(capsys):
    with working("counting [all] sheep"):
        pass
    assert capsys.readouterr() == ("", "counting [all] sheep\n")


def seen(entropy, mass):
    return SimpleNamespace(normalised_entropy=entropy, sink_mass=mass)


def test_heads_are_told_with_their_range_and_what_it_was_before():
    alarm = Alarm(site="a", head=1, kind="collapse", text="entropy 0.02", advice="--set b.c=d")
    watched = Watched(
        step=9,
        fraction=0.5,
        heads=(seen(-1e-7, 0.1), seen(0.89, None), seen(None, 0.2)),
        alarms=(alarm,),
        entropies=(1.0, 0.5, 0.0),
    )
    assert describe(watched).splitlines() == [
        "      heads  entropy 0.45 [0.00-0.89]  sink mass 15%  █▅▁",
        "  ! a head 1: entropy 0.02; try --set b.c=d",
    ]


def test_heads_of_which_nothing_is_known_have_no_numbers():
    watched = Watched(step=9, fraction=0.5, heads=(seen(None, None),), alarms=(), entropies=())
    assert describe(watched).strip() == "heads"


def test_of_many_alarms_the_first_are_told():
    alarms = tuple(
        Alarm(site="a", head=head, kind="scores", text="loud", advice="") for head in range(5)
    )
    watched = Watched(step=9, fraction=0.5, heads=(), alarms=alarms, entropies=())
    assert describe(watched).splitlines()[1:] == [
        *(f"  ! a head {head}: loud" for head in range(3)),
        "  ! and 2 more, in metrics.jsonl",
    ]
