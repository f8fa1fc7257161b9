"""`heedful apply`: hands on what was said, and prints where the new run is."""

from pathlib import Path

import pytest


def test_everything_is_handed_on(heedful, library):
    words = (
        "plan.toml",
        "runs/x",
        "-o",
        "out",
        "--distil-steps",
        "20",
        "--finetune-steps",
        "30",
        "--seed",
        "4",
    )
    code, out, err = heedful("apply", *words)
    assert (code, out) == (0, "out\n")
    (asked,) = library.apply
    assert asked == {
        "plan": Path("plan.toml"),
        "run": Path("runs/x"),
        "output": Path("out"),
        "distil_steps": 20,
        "finetune_steps": 30,
        "seed": 4,
    }
    assert "measuring the original" in err


def test_nothing_is_trained_unless_it_is_said(heedful, library):
    assert heedful("apply", "p", "r", "-o", "out")[0] == 0
    asked = library.apply[0]
    assert (asked["distil_steps"], asked["finetune_steps"], asked["seed"]) == (0, 0, 0)


def test_older_options_still_work_and_say_what_they_are_now(heedful, library):
    code, _, err = heedful("apply", "p", "r", "-o", "out", "--distil", "2", "--heal", "3")
    assert code == 0
    assert "heedful: --distil is now --distil-steps\nheedful: --heal is now --finetune-steps" in err
    assert (library.apply[0]["distil_steps"], library.apply[0]["finetune_steps"]) == (2, 3)


@pytest.mark.parametrize(
    "words, message",
    [
        (("p", "r"), "Missing option '--output'"),
        (("p",), "Missing argument 'RUN|FOLDER'"),
        (("p", "r", "-o", "o", "--finetune-steps", "-1"), "greater than or equal to 0"),
        (("p", "r", "-o", "o", "--finetune-steps", "9" * 40), "less than or equal to 1000000000"),
        (("p", "r", "-o", "o", "--distil-steps", "-1"), "greater than or equal to 0"),
    ],
)
def test_usage(heedful, library, words, message, monkeypatch):
    monkeypatch.setenv("TYPER_USE_RICH", "0")
    code, out, err = heedful("apply", *words)
    assert (code, out, library.apply) == (2, "", [])
    assert message in err
