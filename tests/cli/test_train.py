import re

import pytest

from heedful.tasks.translation.config import Config, TransformerModel


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("seed = 3\n", encoding="utf-8")
    return path


def test_trains_the_config_with_overrides_and_prints_the_folder(heedful, library, config):
    settings = ("--set", "model.width=64", "--set", "tokens.source=bpe")
    code, out, err = heedful("train", config, *settings, "-o", "runs/a")
    assert (code, out) == (0, "runs/a\n")
    ((trained, resume),) = library.train
    assert resume is None
    assert (trained.seed, trained.model, trained.output) == (
        3,
        TransformerModel(width=64),
        "runs/a",
    )
    assert trained.tokens.source == "bpe"
    assert "7 parameters in fp32, examples: 5 train (3 too long, left out" in err
    assert "finished after 11 steps in 1:05: limit reached" in err


def test_the_folder_of_the_config_is_kept(heedful, library, config):
    heedful("train", config, "--set", "output=runs/b")
    assert library.train == [(Config(seed=3, output="runs/b"), None)]


def test_quiet_leaves_the_folder_only(heedful, library, config):
    assert heedful("train", config, "--quiet") == (0, "runs/free\n", "")


def test_resume(heedful, library):
    code, out, _ = heedful("train", "--resume", "runs/a")
    assert (code, out) == (0, "runs/a\n")
    ((trained, resume),) = library.train
    assert (trained, str(resume)) == (None, "runs/a")


def test_resume_to_a_raised_limit(heedful, library):
    code, *_ = heedful("train", "--resume", "runs/a", "--set", "train.steps=9")
    assert code == 0
    ((trained, resume, raised),) = library.train
    assert (trained, str(resume), raised) == (None, "runs/a", "train.steps=9")


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "train must get CONFIG or --resume RUN, got neither"),
        (("t.toml", "--resume", "r"), "train must get CONFIG or --resume RUN, got both"),
        (("--resume", "r", "-o", "x"), "--resume must go on in its own folder, got --output"),
        (("no.toml",), "no.toml must be an existing file, got nothing there"),
        (("t.toml", "--set", "task=vision"), 'task must be .*"translation".*, got "vision"'),
    ],
)
def test_rejects(heedful, library, config, words, message):
    code, out, err = heedful("train", *words)
    assert (code, out, library.train) == (2, "", [])
    assert re.search(message, err)


def test_all_problems_of_a_config_are_printed(heedful, library, config):
    code, _, err = heedful("train", config, "--set", "seed=-1", "--set", "decode.beam=0")
    assert code == 2
    assert err.splitlines() == [
        f"heedful: {config}: 2 problems",
        "  seed (--set) must be at least 0, got -1",
        "  decode.beam (--set) must be greater than 0, got 0",
        "  no task is named, so all was read as settings of translation",
    ]


def test_control_c_says_how_to_go_on(heedful, library, config):
    library.interrupt = True
    code, out, err = heedful("train", config, "-o", "runs/c")
    assert (code, out) == (130, "")
    assert "Go on with: heedful train --resume runs/c\n" in err
    assert err.endswith("heedful: interrupted\n")
