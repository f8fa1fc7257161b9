import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from heedful import cli
from heedful.cli.tune import line, shown
from heedful.cli.tune import tune as verb
from heedful.errors import BudgetError
from heedful.tasks.translation.config import Config, TransformerModel
from heedful.tuning import Goal, Range, Trial, default_space, parse_keep

KEEP = ("--keep", "chrf >= 50")
GOAL = Goal(keep=parse_keep("chrf >= 50"))
FIRST = Trial(
    number=1,
    params={"model.heads": 4},
    state="complete",
    feasible=True,
    quality=97.125,
    cost=2_000_000.0,
)
BEST = Trial(
    number=3,
    params={"model.heads": 2, "train.learning_rate": 0.0012345},
    state="complete",
    feasible=True,
    quality=61.25,
    cost=1_234_567.0,
)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("seed = 3\n[model]\nwidth = 64\n", encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The verb is there, whoever lists it."""
    if "tune" not in cli.VERBS:
        info = typer.models.CommandInfo(name="tune", callback=verb)
        commands = [*cli.app.registered_commands, info]
        monkeypatch.setattr(cli.app, "registered_commands", commands)


@pytest.fixture
def found(monkeypatch):
    """What `heedful.tuning.tune` was asked; it tells of two trials and returns."""
    calls = SimpleNamespace(asked=[], error=None, plain={"best": 3, "字": 1})

    def tune(config, *, on_trial, output, **settings):
        calls.asked.append({"config": config, "output": output, **settings})
        on_trial(FIRST, FIRST)
        on_trial(BEST, BEST)
        if calls.error is not None:
            output.mkdir()
            (output / "trials.json").write_text('{"best": null}\n')
            raise calls.error
        trials = [FIRST, BEST]
        return SimpleNamespace(
            folder=output, config=config, best=BEST, trials=trials, plain=calls.plain
        )

    monkeypatch.setattr("heedful.tuning.tune", tune)
    return calls


def test_everything_is_handed_on(heedful, found, config):
    words = ("--for", "latency", "--trials", "7", "--workers", "2", "--minutes", "0.5", "-o", "out")
    more = ("--search", "heads=1,2", "--search", "clip=1..2", "--set", "model.feedforward=99")
    assert heedful("tune", config, "--keep", "bleu>=3", *words, *more, "--resume")[0] == 0
    (asked,) = found.asked
    assert asked["goal"] == Goal(keep=parse_keep("bleu >= 3"), cost="latency")
    assert (asked["trials"], asked["workers"], asked["resume"]) == (7, 2, True)
    assert asked["output"] == Path("out")
    assert asked["config"].model == TransformerModel(width=64, feedforward=99)
    assert (asked["config"].seed, asked["config"].train.minutes) == (3, 0.5)
    assert asked["space"].ranges == (Range(key="train.clip", low=1.0, high=2.0),)
    assert [choice.key for choice in asked["space"].choices] == ["model.heads"]


def test_what_is_not_said_has_a_default(heedful, found, config):
    assert heedful("tune", config, *KEEP, "-o", "out")[0] == 0
    (asked,) = found.asked
    wanted = Config(seed=3, model=TransformerModel(width=64))
    assert asked["config"] == wanted
    assert asked["space"] == default_space(wanted)
    assert asked["goal"] == GOAL
    assert (asked["trials"], asked["workers"], asked["resume"]) == (30, 1, False)


def test_other_limits_than_minutes_stay(heedful, found, config):
    words = ("--set", "train.steps=9", "--minutes", "2", "-o", "out")
    assert heedful("tune", config, *KEEP, *words)[0] == 0
    train = found.asked[0]["config"].train
    assert (train.steps, train.minutes) == (9, 2.0)


def test_people_see_each_trial_and_what_was_found(heedful, found, config):
    code, out, err = heedful("tune", config, *KEEP, "--trials", "9", "-o", "out")
    assert code == 0
    assert err.splitlines() == [
        "searching for the fewest MACs of attention an example with chrf >= 50",
        "trial 1 of 9  heads 4  chrf 97.12, 2,000,000 MACs of attention an example  feasible  "
        "(best so far: 1)",
        "trial 3 of 9  heads 2, learning_rate 0.00123  chrf 61.25, 1,234,567 MACs of attention "
        "an example  feasible  (best so far: 3)",
    ]
    assert out.splitlines() == [
        "trial 3 keeps chrf >= 50: chrf 61.25, 1,234,567 MACs of attention an example",
        "trial 1, the first: chrf 97.12, 2,000,000 MACs of attention an example",
        "heads 2, learning_rate 0.00123",
        "Quality was chosen by the dev split; on examples that nobody has chosen by:",
        "  heedful evaluate out/trials/003",
        "Train it again, or longer: heedful train out/best.toml",
    ]


def test_a_search_that_goes_on_says_behind_what(heedful, found, config):
    Path("out").mkdir()
    words = ("tune", config, *KEEP, "--trials", "9", "-o", "out", "--resume")
    Path("out/trials.json").write_text('{"trials": [{}, {}]}')
    assert heedful(*words)[2].startswith("going on behind 2 of 9 trials\nsearching for ")
    for broken in ('{"trials": ', "[]", "{}"):
        Path("out/trials.json").write_text(broken)
        assert heedful(*words)[2].startswith("going on behind 0 of 9 trials\nsearching for ")


def test_a_search_that_ended_early_says_why(heedful, found, config):
    found.plain["exhausted"] = True
    said = heedful("tune", config, *KEEP, "-o", "out")[1].splitlines()
    assert said[2] == "nothing is left that could win: the rest was tried, or costs no less"


def test_json_is_the_result_and_nothing_else(heedful, found, config):
    code, out, err = heedful("tune", config, *KEEP, "-o", "out", "--json")
    assert code == 0
    assert json.loads(out) == {"best": 3, "字": 1}
    assert "字" in out
    assert "trial 3" in err


def test_a_missed_budget_still_has_its_json(heedful, found, config):
    found.error = BudgetError("one trial must keep chrf >= 50, got 0 of 2")
    code, out, err = heedful("tune", config, *KEEP, "-o", "out", "--json")
    assert code != 0
    assert json.loads(out) == {"best": None}
    assert err.endswith("heedful: one trial must keep chrf >= 50, got 0 of 2\n")
    assert heedful("tune", config, *KEEP, "-o", "other")[1] == ""


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_control_c_says_how_to_go_on(heedful, found, config, resume):
    found.error = KeyboardInterrupt()
    code, out, err = heedful("tune", config, *KEEP, "-o", "out", *resume)
    assert (code, out) == (130, "")
    words = f"Go on with: heedful tune {config} --keep 'chrf >= 50' -o out --resume\n"
    assert words in err


@pytest.mark.parametrize(
    "words, message",
    [
        (("--keep", "chrf 9", "-o", "out"), "keep must look like 'chrf >= 95'"),
        (("-o", "out"), "Missing option '--keep'"),
        ((*KEEP, "-o", "out", "--search", "head=1"), 'search must be one of "heads"'),
        ((*KEEP, "-o", "out", "--trials", "0"), "greater than or equal to 1"),
        ((*KEEP, "-o", "out", "--minutes", "inf"), "less than or equal to"),
        ((*KEEP, "-o", "out", "--minutes", "nan"), "or equal to"),
        ((*KEEP, "-o", "out", "--for", "speed"), "'speed' is not one of 'macs'"),
        ((*KEEP, "-o", "out", "--set", "seed=x"), "seed (--set) must be a whole number"),
    ],
)
def test_usage(heedful, found, config, words, message, monkeypatch):
    monkeypatch.setenv("TYPER_USE_RICH", "0")
    code, out, err = heedful("tune", config, *words)
    assert (code, out, found.asked) == (2, "", [])
    assert re.search(re.escape(message), err)


@pytest.mark.parametrize(
    "about, words",
    [
        (
            {"state": "complete", "feasible": False, "quality": 9.0, "cost": 10.0},
            "chrf 9, 10 MACs of attention an example  not feasible  (none is feasible so far)",
        ),
        (
            {"state": "pruned", "reason": "slow", "curve": ((0.2, 3.0), (0.4, 2.5))},
            "pruned, it learns too slowly, at 40% with dev_loss 2.500  (none is feasible so far)",
        ),
        (
            {"state": "pruned", "reason": "cost"},
            "pruned, it costs no less than the best, at 0%  (none is feasible so far)",
        ),
        (
            {"state": "fail", "reason": "NaN [/b]"},
            "failed: NaN [/b]  (none is feasible so far)",
        ),
    ],
)
def test_every_end_of_a_trial_has_its_words(about, words):
    trial = Trial(number=2, params={}, **about)
    assert line(trial, None, GOAL, trials=4, monitor="dev_loss") == f"trial 2 of 4    {words}"


def test_settings_in_short():
    settings = {"model.heads": 2, "model.tie_embeddings": True, "train.clip": 0.123456}
    assert shown(settings) == "heads 2, tie_embeddings True, clip 0.123"


def test_on_a_terminal_something_moves(heedful, found, config, monkeypatch):
    monkeypatch.setattr("heedful.cli.progress.on_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    err = heedful("tune", config, *KEEP, "-o", "out")[2]
    assert "trial 3 of 30" in err
