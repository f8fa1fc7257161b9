"""Tables give the columns that were asked for, or say in which line they cannot."""

import gzip
import re

import pytest

from heedful.data.columns import number_in, read_columns, read_header
from heedful.errors import DataError

ROWS = [["two years ago", "time"], ["3 a.m.", "clock"]]


def store(path, content):
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("ending", [".tsv", ".tsv.gz", ".txt", ".csv", ".csv.gz"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_columns_by_name_and_by_number(tmp_path, ending, header, mark):
    comma = "," if ".csv" in ending else "\t"
    lines = [["label", "source", "text "]] * header + [[b, "x", a] for a, b in ROWS]
    path = store(tmp_path / f"文件{ending}", mark + "\n".join(map(comma.join, lines)) + "\r\n")
    columns = ("text", "label") if header else ("3", "1")
    found = list(read_columns(str(path), columns))
    assert [row for _, row in found] == ROWS
    assert [number for number, _ in found] == ([2, 3] if header else [1, 2])


def test_a_name_and_a_number_mean_a_header(tmp_path):
    path = store(tmp_path / "a.tsv", "text\tlabel\nyes\t1\n")
    assert list(read_columns(path, ("text", "2"))) == [(2, ["yes", "1"])]


def test_csv_may_quote_commas_and_line_ends(tmp_path):
    path = store(tmp_path / "a.csv", 'text,label\n"a, ""b""\nc",1\nd,2\n')
    assert list(read_columns(path, ("text", "label"))) == [(3, ['a, "b"\nc', "1"]), (4, ["d", "2"])]


def test_tsv_takes_quotation_marks_for_text(tmp_path):
    path = store(tmp_path / "a.tsv", '"a\t1\nb"\t2\n')
    assert [row for _, row in read_columns(path, ("1", "2"))] == [['"a', "1"], ['b"', "2"]]


@pytest.mark.parametrize(
    "name, content, columns, message",
    [
        ("a.tsv", "a\tb\nc\td\te\n", ("1", "2"), "a.tsv:2 must have 2 columns like the first line"),
        (
            "a.tsv",
            "a\tb\nc\n",
            ("1", "2"),
            "a.tsv:2 must have 2 columns like the first line, got 1",
        ),
        ("a.csv", "a,b\nc,d, e\n", ("1", "2"), "a.csv:2 must have 2 columns"),
        ("a.tsv", "a\tb\n \tc\n", ("1", "2"), "a.tsv:2 must have a text in column '1', got ' '"),
        ("a.tsv", "a\tb\nc\t\n", ("a", "b"), "a.tsv:2 must have a text in column 'b', got ''"),
        (
            "a.csv",
            "a,b\nc,\u200b\n",
            ("b",),
            r"a.csv:2 must have a text in column 'b', got '\u200b'",
        ),
        ("a.tsv", "a\tb\n", ("1", "3"), "a.tsv:1 must have a column 3, got 2 columns"),
        ("a.tsv", "a\tb\n", ("0", "1"), "a.tsv:1 must have a column 0, got 2 columns"),
        ("a.tsv", "a\tb\n1\t2\n", ("a", "c"), "a.tsv:1 must have one column 'c', got a, b"),
        ("a.tsv", "a\ta\n1\t2\n", ("a",), "a.tsv:1 must have one column 'a', got a, a"),
        ("a.tsv", "a\tb\n", ("a", "b"), "a.tsv must have a line below its header, got none"),
        ("a.csv", 'a,b\n"c" d,e\n', ("1", "2"), "a.csv:2 must be CSV, got: "),
        ("a.csv", 'a,b\nc,d\n"e,f\n', ("1", "2"), "a.csv:3 must be CSV, got: unexpected end"),
        ("a.csv", 'a,b\n"c,d\ne,f\ng,h\n', ("1", "2"), "a.csv:2 must be CSV, got: unexpected end"),
        (
            "a.csv",
            'a,b\nc,"d\n' + "e\n" * 66_000,
            ("1", "2"),
            "a.csv:2 must be CSV, got: a cell of more than 131,072 characters. Is a quotation mark "
            "left open?",
        ),
        (
            "a.csv",
            "a,b\nc,d\n\n",
            ("1", "2"),
            "a.csv:3 must have 2 columns like the first line, got a blank line",
        ),
        (
            "a.tsv",
            "a\tb\n\nc\td\n",
            ("1", "2"),
            "a.tsv:2 must have 2 columns like the first line, got a blank line",
        ),
        ("a.tsv", "", ("1",), "a.tsv must have at least one line, got an empty file"),
        ("a.tsv", b"a\tb\nc\t\xff\n", ("1", "2"), "a.tsv:2 must be UTF-8, got 0xff"),
    ],
)
def test_says_what_is_wrong(tmp_path, name, content, columns, message):
    path = store(tmp_path / name, content)
    with pytest.raises(DataError, match=re.escape(message)):
        list(read_columns(path, columns))


@pytest.mark.parametrize("name, text", [("a.csv", 'a," b ","c,d"\n1\n'), ("a.tsv", "a\t b\tc,d\n")])
def test_the_header_is_the_first_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert read_header(path) == ["a", "b", "c,d"]
    path.write_text("")
    with pytest.raises(DataError, match="must have at least one line, got an empty file"):
        read_header(path)


def test_chosen_columns_may_be_blank(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,\n,2\n", encoding="utf-8")
    found = list(read_columns(path, ["a", "b"], blank=["a", "b"]))
    assert found == [(2, ["1", ""]), (3, ["", "2"])]
    with pytest.raises(DataError, match=r"a.csv:3 must have a text in column 'a', got ''"):
        list(read_columns(path, ["a", "b"], blank=["b"]))


def test_numbers_whose_square_is_none_are_refused():
    assert number_in("a.csv", 2, "x", "-1e18") == -1e18
    for text in ("1.1e18", "-1e300"):
        message = f"a.csv:2 must have a number from -1e18 to 1e18 in column 'x', got '{text}'"
        with pytest.raises(DataError, match=re.escape(message)):
            number_in("a.csv", 2, "x", text)
