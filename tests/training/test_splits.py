"""Held-out examples come back as they were, or not at all."""

import pytest

from heedful.data.examples import Example
from heedful.errors import RunError
from heedful.training.splits import parse_split, write_split


def test_what_is_written_is_read(tmp_path):
    (tmp_path / "splits").mkdir()
    examples = [Example("a\u2028b\r\x85", "中\n\x0c", "date"), Example("x", "")]
    write_split(tmp_path, "dev", examples)
    path = tmp_path / "splits" / "dev.jsonl"
    assert parse_split(path.read_bytes(), path) == examples
    assert parse_split(b"", path) == []


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"question": "?"}', "got an unexpected keyword argument 'question'"),
        ('{"source": "one", "target": 7}', "7 is no text"),
        ('{"source": null, "target": "x"}', "None is no text"),
        ('{"source": "one", "target": "x", "kind": 3}', "3 is no text"),
        ('{"source": "one", "target": ["x"]}', "'x'.* is no text"),
        (r'{"source": "one", "target": "\ud800"}', "surrogates not allowed"),
        ("[" * 100_000, "brackets without end"),
        ("[]", "must be a mapping"),
        ("", "Expecting value"),
        ('{"source": "one"}', "missing 1 required positional argument: 'target'"),
    ],
)
def test_a_line_of_another_kind_is_an_error(tmp_path, line, message):
    whole = b'{"source": "one", "target": "\xe4\xb8\x80"}\n'
    with pytest.raises(RunError, match=rf"dev\.jsonl must be whole, got .* line 2: .*{message}"):
        parse_split(whole + line.encode() + b"\n", tmp_path / "dev.jsonl")


def test_a_last_line_without_its_end_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"dev\.jsonl must be whole, got no end of its last line"):
        parse_split(b'{"source": "one", "target": "1"}', tmp_path / "dev.jsonl")
