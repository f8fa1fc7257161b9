"""Held-out examples come back as they were, or not at all."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

from heedful.data.examples import Example
from heedful.errors import DataError, RunError
from heedful.training.splits import parse_split, shown_split, write_split


@dataclass(frozen=True)
class Picture:
    """An example that a run keeps by reference."""

    path: str
    sha256: str
    label: int
    weight: float = 1.0
    kind: Literal["real", "made"] = "real"
    box: tuple[int, int] | None = None


def test_what_is_written_is_read(tmp_path):
    (tmp_path / "splits").mkdir()
    examples = [Example("a\u2028b\r\x85", "中\n\x0c", "date"), Example("x", "")]
    write_split(tmp_path, "dev", examples)
    path = tmp_path / "splits" / "dev.jsonl"
    assert parse_split(path.read_bytes(), path, Example) == examples
    assert parse_split(b"", path, Example) == []


def test_numbers_and_references_are_read_as_what_they_were(tmp_path):
    (tmp_path / "splits").mkdir()
    examples = [
        Picture("a.png", "00", 2**70, 0.1 + 0.2),
        Picture("中.png", "ff", -1, kind="made", box=(3, 4)),
    ]
    write_split(tmp_path, "test", examples)
    path = tmp_path / "splits" / "test.jsonl"
    assert parse_split(path.read_bytes(), path, Picture) == examples


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"question": "?"}', "'question' is not known"),
        ('{"source": "one", "target": "x", "Kind": "y"}', "'Kind' is not known"),
        ('{"source": "one", "target": 7}', "target Input should be a valid string"),
        ('{"source": null, "target": "x"}', "source Input should be a valid string"),
        ('{"source": "one", "target": "x", "kind": 3}', "kind Input should be a valid string"),
        ('{"source": "one", "target": ["x"]}', "target Input should be a valid string"),
        (r'{"source": "one", "target": "\ud800"}', "unexpected end of hex escape"),
        ("[" * 100_000, "brackets without end"),
        ("[]", "Input should be an object"),
        ("7", "'int' object is not iterable"),
        ('"source"', "is not known"),
        ("", "Expecting value"),
        ('{"source": "one"}', "target Field required"),
        ('{"source": "one", "target": "x"} {}', "Extra data"),
    ],
)
def test_a_line_of_another_kind_is_an_error(tmp_path, line, message):
    whole = b'{"source": "one", "target": "\xe4\xb8\x80"}\n'
    with pytest.raises(RunError, match=rf"dev\.jsonl must be whole, got .* line 2: .*{message}"):
        parse_split(whole + line.encode() + b"\n", tmp_path / "dev.jsonl", Example)


@pytest.mark.parametrize(
    "change, message",
    [
        ('"label": "3"', "label Input should be a valid integer"),
        ('"label": 3.0', "label Input should be a valid integer"),
        ('"label": true', "label Input should be a valid integer"),
        ('"label": 3, "weight": "1"', "weight Input should be a valid number"),
        ('"label": 3, "kind": "drawn"', "kind Input should be 'real' or 'made'"),
        ('"label": 3, "box": [1]', r"box\.1 Field required"),
        ('"label": 3, "box": [1, "2"]', r"box\.1 Input should be a valid integer"),
    ],
)
def test_a_number_is_never_made_of_something_else(tmp_path, change, message):
    line = f'{{"path": "a.png", "sha256": "00", {change}}}\n'.encode()
    with pytest.raises(RunError, match=rf"dev\.jsonl must be whole, got .* line 1: {message}"):
        parse_split(line, tmp_path / "dev.jsonl", Picture)


def test_a_last_line_without_its_end_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"dev\.jsonl must be whole, got no end of its last line"):
        parse_split(b'{"source": "one", "target": "1"}', tmp_path / "dev.jsonl", Example)


@pytest.mark.parametrize(
    "example, got",
    [
        (Picture("a", "b", np.int64(3)), "Object of type int64 is not JSON serializable"),
        (Picture("a", "b", 3.0), "a damaged line 1: label Input should be a valid integer"),
        (Picture("a", "b", 3, kind="x"), "a damaged line 1: kind Input should be 'real' or 'made'"),
        (Picture("\ud800", "b", 3), "surrogates not allowed"),
        (("a", "b"), "asdict"),
    ],
)
def test_what_could_not_be_read_again_is_never_written(tmp_path, example, got):
    (tmp_path / "splits").mkdir()
    with pytest.raises(DataError, match=f"^examples of the dev split must be .*got: .*{got}"):
        write_split(tmp_path, "dev", [example])
    assert not list((tmp_path / "splits").iterdir())


def test_what_is_shown_is_of_the_test_split_where_there_is_one():
    held_out = {"dev": [1], "test": [2]}
    run = SimpleNamespace(examples=held_out.__getitem__)
    assert shown_split(run) == "test"
    held_out["test"] = []
    assert shown_split(run) == "dev"
