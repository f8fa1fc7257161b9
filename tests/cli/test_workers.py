"""Processes that a command starts beside itself: how they are asked, and that none stays behind."""

import subprocess
import sys

import pytest

from heedful.cli import _workers
from heedful.cli._workers import Together, Workers, worker_words


@pytest.mark.parametrize(
    "typed, words",
    [
        ("heedful optimize a --workers 3 --lose 'chrf 1'", "optimize|a|--lose|chrf 1|--join"),
        ("heedful optimize a --workers=3 --join", "optimize|a|--join"),
        ("heedful optimize 'a b' --storage x://y", "optimize|a b|--storage|x://y|--join"),
    ],
)
def test_a_worker_is_asked_for_the_same_and_takes_part(typed, words):
    assert worker_words(typed) == words.split("|")


@pytest.fixture
def program(monkeypatch):
    """A function that lets workers run some lines of Python in place of a command."""
    honest = subprocess.Popen

    def replace(lines):
        def start(words, **how):
            assert words[1:4] == ["-P", "-m", "heedful.cli._workers"]
            return honest([sys.executable, "-c", lines], **how)

        monkeypatch.setattr(_workers.subprocess, "Popen", start)

    return replace


def test_they_end_with_the_command_that_started_them(program, capfd):
    program("import sys; sys.stdin.read()")
    with Workers(3, "heedful optimize a") as started:
        assert started.alive() == 2
    assert started.alive() == 0
    assert capfd.readouterr() == ("", "")


def test_one_that_ends_alone_says_why(program, capfd):
    program("import sys; sys.exit('heedful: it cannot be')")
    with Workers(2, "heedful optimize a") as started:
        while started.alive():
            pass
    assert capfd.readouterr().err == "heedful: a worker ended: heedful: it cannot be\n"


def test_one_that_does_not_leave_is_ended(program, monkeypatch):
    monkeypatch.setattr(_workers, "PATIENCE", 0.1)
    program("import time; time.sleep(600)")
    with Workers(2, "heedful optimize a") as started:
        pass
    assert started.alive() == 0


@pytest.mark.parametrize("words", [("--workers", "2"), ("--join",), ("--storage", "x://y")])
def test_what_is_asked_is_handed_on(heedful, library, monkeypatch, words):
    from heedful.cli import _optimizing

    found = []

    def together(asked, how):
        found.append((asked, how))
        return library.optimized

    monkeypatch.setattr(_optimizing, "optimized_together", together)
    library.into_folder = "what is asked"
    assert heedful("optimize", "runs/x", "--lose", "chrf 0.5", *words)[0] == 0
    ((asked, how),) = found
    assert asked == "what is asked"
    workers = 2 if "--workers" in words else 1
    storage = "x://y" if "--storage" in words else None
    assert how == Together(workers, "--join" in words, storage, how.command)
    assert how.command.endswith(" ".join(words))
