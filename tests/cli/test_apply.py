"""`heedful apply`: hands on what was said, and prints where the new run is."""

from pathlib import Path

import pytest


def test_everything_is_handed_on(heedful, library):
    words = ("plan.toml", "runs/x", "-o", "out", "--distil", "20", "--heal", "30", "--seed", "4")
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


def test_nothing_is_healed_unless_it_is_said(heedful, library):
    assert heedful("apply", "p", "r", "-o", "out")[0] == 0
    asked = library.apply[0]
    assert (asked["distil_steps"], asked["finetune_steps"], asked["seed"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "words, message",
    [
        (("p", "r"), "Missing option '--output'"),
        (("p",), "Missing argument 'RUN'"),
        (("p", "r", "-o", "o", "--heal", "-1"), "greater than or equal to 0"),
        (("p", "r", "-o", "o", "--heal", "9" * 40), "less than or equal to 1000000000"),
        (("p", "r", "-o", "o", "--distil", "-1"), "greater than or equal to 0"),
    ],
)
def test_usage(heedful, library, words, message, monkeypatch):
    monkeypatch.setenv("TYPER_USE_RICH", "0")
    code, out, err = heedful("apply", *words)
    assert (code, out, library.apply) == (2, "", [])
    assert message in err
