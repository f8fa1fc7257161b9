"""Streams that are closed, full or not UTF-8, and names that no file of ours could hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLACE = os.pathsep.join(sys.path)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(command, folder, **more):
    """A line of sh, in which `$heedful` is the real command."""
    heedful = f"{sys.executable} -m heedful"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": PLACE, "heedful": heedful} | more
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, env=environment, cwd=folder, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command, message",
    [
        (
            "$heedful new translation >&-",
            "stdout must be open, for results go there, got it closed",
        ),
        ("$heedful new translation >/dev/full", "stdout must be usable, got: No space left"),
        ("$heedful new translation -o $(printf 'a\\377')", r"must be UTF-8, got a\xff"),
        ("$heedful new translation -o /dev/null/x", "must be in a folder that exists, got"),
        ("$heedful new translation -o . --force", "--output must be an ordinary file, got ."),
        ("$heedful new translation -o %s", "File name too long"),
        ("$heedful train /dev/null/x.toml", "/dev/null/x.toml"),
        (
            "mkdir d && cd d && rmdir ../d && $heedful demo -o x",
            "heedful: a file or a folder must be usable, got: No such file or directory",
        ),
        ("$heedful train %s", "File name too long"),
    ],
)
def test_is_one_line(tmp_path, command, message):
    if "/dev/full" in command and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    code, _, err = shell(command.replace("%s", "x" * 300), tmp_path)
    assert code == 2, err.decode()
    assert message in err.decode()
    assert len(err.splitlines()) == 1
    assert err.startswith(b"heedful: ")


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    code, out, _ = shell("$heedful new translation -o a.toml <&- 2>&-", tmp_path)
    assert (code, out[:12]) == (0, b"Wrote a.toml")
    text = (tmp_path / "a.toml").read_text(encoding="utf-8")
    assert text == shell("$heedful new translation", tmp_path)[1].decode()


def test_chinese_names_where_python_would_read_ascii(tmp_path):
    code, out, err = shell("$heedful new translation -o 配置.toml", tmp_path, **ASCII)
    assert (code, err) == (0, b"")
    assert "Wrote 配置.toml" in out.decode()
    assert (tmp_path / "配置.toml").is_file()
    text = (tmp_path / "配置.toml").read_text(encoding="utf-8")
    Path(tmp_path, "数据.toml").write_text(
        text.replace('name = "cldr"', 'name = "tsv"\ntrain = "训练.tsv"\ndev = "训练.tsv"'),
        encoding="utf-8",
    )
    code, _, err = shell("$heedful train 数据.toml -o 跑", tmp_path, **ASCII)
    assert code == 2
    assert "Traceback" not in err.decode()


def test_stdin_that_is_closed_is_named(heedful, library, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert heedful("predict", "r") == (
        2,
        "",
        "heedful: stdin must be open where no INPUT is given, got it closed\n",
    )
    assert heedful("predict", "r", "a")[0] == 0
