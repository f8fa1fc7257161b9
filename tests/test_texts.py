"""Plain data from text that somebody else may have written: never a crash, never hours."""

import json
import math
import re
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.sources import TEXTS

from heedful.errors import RunError
from heedful.texts import as_float, as_toml, finite, json_of, parse_json, parse_json_as, parse_toml


def test_plain_data():
    assert parse_json(b'{"a": [1, null]}', Path("x.json")) == {"a": [1, None]}
    deep = ".".join("abcdefgh" * 7)  # 56 parts
    assert parse_toml(f"{deep} = 1\nb = '{'x.' * 20}'\n")["b"] == "x." * 20


def strict(text):
    def refuse(word):
        raise AssertionError(f"no JSON knows {word}")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_no_finite_number_is_null_in_json(indent):
    plain = {
        "注": [1.5, math.nan, (math.inf, "NaN")],
        "b": {"c": -math.inf, "d": 10**400},
        "e": True,
    }
    text = json_of(plain, indent=indent)
    want = {"注": [1.5, None, [None, "NaN"]], "b": {"c": None, "d": 10**400}, "e": True}
    assert strict(text) == finite(plain) == want
    assert "注" in text


@pytest.mark.parametrize(
    "number, found",
    [(3, 3.0), (2.5, 2.5), (10**400, math.inf), (-(10**400), -math.inf)],
    ids=["whole", "broken", "large", "small"],
)
def test_a_whole_number_beyond_all_floats_is_infinite(number, found):
    assert as_float(number) == found


def test_no_verb_writes_json_that_only_python_reads():
    verbs = {name: text for name, text in TEXTS.items() if name.startswith("cli/")}
    assert [name for name, text in verbs.items() if "echo(json.dumps(" in text] == []


@pytest.mark.parametrize(
    "content, message",
    [
        (b'{"half":', "must be whole, got damaged JSON: "),
        (b"\xff\xfe\xfd", "must be whole, got damaged JSON: "),
        (b"[" * 100_000, "must be whole, got JSON that is nested too deep"),
        (b'{"a":' * 100_000, "must be whole, got JSON that is nested too deep"),
        (b"9" * 5_000, "must be whole, got damaged JSON: Exceeds the limit"),
    ],
)
def test_what_is_no_json_is_an_error(content, message):
    with pytest.raises(RunError, match=re.escape(f"x.json {message}")):
        parse_json(content, Path("x.json"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = " + "[" * 100_000, "brackets without end"),
        ("x = " + "{a=" * 100_000, "brackets without end"),
        ("a." * 50_000 + "b = 1", "a key of more than 64 parts"),
        ("[" + "a . " * 50_000 + "b]", "a key of more than 64 parts"),
        ("'a'." * 50_000 + "b = 1", "a key of more than 64 parts"),
        ("a" * 200_000, "Expected"),
        ("'" * 200_000, "Expected"),
    ],
)
def test_what_is_no_toml_is_soon_an_error(text, message):
    began = time.monotonic()
    with pytest.raises(ValueError, match=message):
        parse_toml(text)
    assert time.monotonic() - began < 20


def test_a_small_mistake_says_where():
    with pytest.raises(tomllib.TOMLDecodeError, match="line 2"):
        parse_toml("a = 1\nb\n")


@dataclass(frozen=True)
class Sizes:
    name: str
    counts: tuple[int, ...]


def test_json_of_a_type():
    got = parse_json_as(Sizes, b'{"name": "x", "counts": [1, 2]}', Path("a.json"))
    assert got == Sizes("x", (1, 2))
    assert parse_json_as(list[str], b'["a", "b"]', Path("a.json")) == ["a", "b"]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"{", "got damaged JSON"),
        (b"[]", "got: Input should be"),
        (b'{"name": "x"}', "got: counts Field required"),
        (b'{"name": 3, "counts": []}', "got: name Input should be a valid string"),
        (b'{"name": "x", "counts": [true]}', "got: counts.0 Input should be a valid integer"),
        (b'{"name": "x", "counts": [1.5]}', "got: counts.0 Input should be a valid integer"),
        (b'{"name": "x", "counts": [], "more": 1}', "got 'more', which is not known"),
    ],
)
def test_json_of_another_type_is_refused(content, message):
    with pytest.raises(RunError, match=re.escape(f"a.json must be whole, {message}")):
        parse_json_as(Sizes, content, Path("a.json"))


@pytest.mark.parametrize("value", [3, 0.5, True, 'a \\ "b"\n\x7f ü 😀', [1, 2], ["layers.1"], []])
def test_what_is_written_as_toml_is_read_again(value):
    assert parse_toml(f"x = {as_toml(value)}") == {"x": value}
    assert as_toml((1, 2)) == as_toml([1, 2])
