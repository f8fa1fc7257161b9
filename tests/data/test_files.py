"""Readers of text files say where a file is wrong, and never skip a line."""

import gzip
import os
import re

import pytest

from heedful.data.examples import Example
from heedful.data.files import read_aligned, read_tsv
from heedful.errors import DataError

CHINESE = "two years ago\t2年前\textra\tmore\r\nin 3 days\t3天后\n"
WANT = [Example("two years ago", "2年前"), Example("in 3 days", "3天后")]


def store(path, content):
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["文件.tsv", "文件.tsv.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "last\t末\n", "last\t末"])
def test_read_tsv(tmp_path, name, mark, end):
    path = store(tmp_path / name, mark + CHINESE + end)
    assert read_tsv(path) == WANT + [Example("last", "末")] * bool(end)
    assert read_tsv(str(path)) == read_tsv(path)


@pytest.mark.parametrize(
    "line",
    ['"a"\t"b"', '"a" and "b"\tc', '"a\tb', 'a 3" nail\t3"钉', '"a\tb "c" d', 'a"\t"b"\tc"'],
)
def test_quotation_marks_are_part_of_a_text(tmp_path, line):
    assert read_tsv(store(tmp_path / "a.tsv", line)) == [Example(*line.split("\t")[:2])]


@pytest.mark.parametrize("names", [("a", "b"), ("a.gz", "b"), ("a", "b.gz")])
def test_read_aligned(tmp_path, names):
    source = store(tmp_path / names[0], "\ufefftwo years ago\nin 3 days\n")
    target = store(tmp_path / names[1], "2年前\r\n3天后")
    assert read_aligned(source, target) == WANT


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = store(tmp_path / "a.tsv", "a\u2028b\x0bc\td\x85e\n")
    assert read_tsv(path) == [Example("a\u2028b\x0bc", "d\x85e")]


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "PATH must have at least one line, got an empty file"),
        ("a\tb\nonly one\n", "PATH:2 must have two columns parted by a tab, got 'only one'"),
        ("a\tb\n\nc\td\n", "PATH:2 must have two columns parted by a tab, got ''"),
        (
            'a\tb\n"c\tstill c"\td\n',
            "PATH:2 must have no tab inside a text, got one between quotation marks: "
            "'\"c\\tstill c\"\\td'",
        ),
        (
            'a\t"b\tstill b"\n',
            "PATH:1 must have no tab inside a text, got one between quotation marks: "
            "'a\\t\"b\\tstill b\"'",
        ),
        ("a\tb\n \td\n", "PATH:2 must have some source text, got ' '"),
        ("a\tb\n\0\td\n", "PATH:2 must have some source text, got '\\x00'"),
        ("a\tb\nc\td\ne\t\tf\n", "PATH:3 must have some target text, got ''"),
        (b"a\tb\nc\td\xfff\n", "PATH:2 must be UTF-8, got 0xff as byte 4 of the line"),
        (b"\xef\xbb\xbfab\xff\tb\n", "PATH:1 must be UTF-8, got 0xff as byte 6 of the line"),
        ("a\tb\n".encode("utf-16"), "PATH:1 must be UTF-8, got 0xff as byte 1 of the line"),
    ],
)
@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_rejects_bad_content(tmp_path, name, content, message):
    path = store(tmp_path / name, content)
    with pytest.raises(DataError, match=f"^{re.escape(message.replace('PATH', str(path)))}$"):
        read_tsv(path)


def test_rejects_gzip_that_stops_early(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(
        gzip.compress("".join(f"{i}\t{i * i}\n" for i in range(9_999)).encode())[:-999]
    )
    with pytest.raises(DataError, match=r"a\.tsv\.gz:\d+ must be whole gzip data, got: \w+"):
        read_tsv(path)
    path.write_bytes(CHINESE.encode())
    with pytest.raises(DataError, match=r"a\.tsv\.gz:1 must be whole gzip data, got: Not a gz"):
        read_tsv(path)
    good = bytearray(gzip.compress(CHINESE.encode() * 500))
    good[40] ^= 0xFF
    path.write_bytes(bytes(good))
    with pytest.raises(DataError, match=r"must be whole gzip data, got: "):
        read_tsv(path)


def test_rejects_paths_without_a_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.tsv must be a text file, got no such file"):
        read_tsv(tmp_path / "none.tsv")
    with pytest.raises(DataError, match="must be a readable file, got: Is a directory"):
        read_tsv(tmp_path)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_no_pipe_and_no_device_is_waited_for(tmp_path, end):
    os.mkfifo(tmp_path / f"pipe{end}")
    (tmp_path / f"zeros{end}").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(DataError, match=f"{name}{end} must be a text file, got no ordinary"):
            read_tsv(tmp_path / f"{name}{end}")


def test_rejects_files_of_different_length(tmp_path):
    source = store(tmp_path / "a", "1\n2\n3\n")
    target = store(tmp_path / "b", "1\n2\n")
    message = f"equally many lines, got 3 in {source} and 2 in {target}"
    with pytest.raises(DataError, match=re.escape(message)):
        read_aligned(source, target)


def test_rejects_a_blank_line_in_either_file(tmp_path):
    source, target = store(tmp_path / "a", "1\n2\n"), store(tmp_path / "b", "1\n\n")
    with pytest.raises(DataError, match=r"b:2 must have some target text, got ''"):
        read_aligned(source, target)
    with pytest.raises(DataError, match=r"b:2 must have some source text, got ''"):
        read_aligned(target, source)
