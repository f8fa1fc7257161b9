"""How a process was called: by its name, however it was started."""

import sys

import pytest

from heedful.called import called


@pytest.mark.parametrize(
    "argv, words",
    [
        (["/usr/bin/heedful", "train", "a b.toml"], ["heedful", "train", "a b.toml"]),
        (["/x/site-packages/heedful/__main__.py", "demo"], ["heedful", "demo"]),
        (["benchmarks/mine.py"], ["mine.py"]),
        (["-c", "x"], ["-c", "x"]),
        ([""], ["python"]),
        ([], ["python"]),
        (["heedful", "a\udcff"], ["heedful", "a\\udcff"]),
    ],
)
def test_the_program_has_its_name(monkeypatch, argv, words):
    monkeypatch.setattr(sys, "argv", argv)
    assert called() == words
