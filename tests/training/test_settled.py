"""A config that was edited is the run's where only what may change has changed."""

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from heedful.config.file import dump_toml
from heedful.tasks.catalog import load_config
from heedful.tasks.translation.config import Config, Decode, Train
from heedful.training.settled import edited, mark, settled

FIXTURES = Path(__file__).parent / "fixtures" / "translation"
CONFIG = Config(train=Train(steps=40, patience=3), decode=Decode(beam=2))


def test_limits_may_change_and_nothing_else():
    longer = CONFIG.model_copy(update={"train": Train(minutes=9.0, tensorboard=True, watch=True)})
    assert settled(longer) == settled(CONFIG)
    assert mark(longer) == mark(CONFIG)
    for other in (Config(seed=2), Config(train=Train(steps=40, clip=0.5))):
        assert mark(other) != mark(CONFIG)


def test_a_run_from_before_there_were_some_settings_has_the_same_mark():
    before = dump_toml(settled(CONFIG))
    for key in ("watch", "accumulate", "strategy", "compile"):
        before = before.replace(f'{key} = ""\n', "")
        assert key not in before
    assert mark(CONFIG) == hashlib.sha256(before.encode()).hexdigest()


@pytest.mark.parametrize(
    "old, new, taken",
    [
        ("steps = 40", "steps = 90", True),
        ("tensorboard = false", "tensorboard = true  # to see", True),
        ("patience = 3\n", "", True),
        ("watch = false", "watch = true", True),
        ("watch = false\n", "", True),
        ("clip = 1.0", "clip = 0.5", False),
        ("clip = 1.0\n", "", False),
        ("steps = 40", "steps = no", False),
        ("seed = 1", "seed = 2", False),
    ],
)
def test_what_somebody_edited(tmp_path, old, new, taken):
    path = tmp_path / "config.toml"
    text = dump_toml(CONFIG)
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert (edited(path, {"config": mark(CONFIG)}) is not None) == taken
    assert edited(path, {}) is edited(path, []) is None, "of a run that does not say what it was"


def test_a_config_that_was_cut_is_never_taken_for_an_edited_one(tmp_path):
    path = tmp_path / "config.toml"
    text = dump_toml(CONFIG.model_copy(update={"decode": Decode()}))
    about = {"config": mark(CONFIG.model_copy(update={"decode": Decode()}))}
    lines = text.splitlines(keepends=True)
    for count in range(len(lines)):
        path.write_text("".join(lines[:count]), encoding="utf-8")
        assert edited(path, about) is None, count
    assert edited(tmp_path / "absent", about) is None


@pytest.mark.parametrize("name", ["transformer", "rnn", "learned", "optimised"])
def test_the_config_of_an_old_run_is_written_and_marked_as_it_was(name):
    """The order of keys is part of the mark: another one would call every old run damaged."""
    path = FIXTURES / name / "config.toml"
    config = load_config(path)
    text = path.read_text(encoding="utf-8")
    assert list(tomllib.loads(dump_toml(config))) == list(tomllib.loads(text))
    told = dump_toml(config)
    for later in ("watch = false\n", "accumulate = 1\n", 'strategy = "ddp"\n', "compile = false\n"):
        told = told.replace(later, "")
    assert told == text, "they did not know of it"
    about = json.loads((FIXTURES / name / "run.json").read_text(encoding="utf-8"))
    if "config" in about:
        assert mark(config) == about["config"]
