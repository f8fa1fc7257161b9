"""Running text: files and folders, and what is refused of them."""

import gzip
import re

import pytest

from heedful.data.plain_text import read_text
from heedful.errors import DataError


def test_a_file_is_read_to_its_last_line(tmp_path):
    path = tmp_path / "a.md"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\ntwo")
    assert read_text(path) == "one\n\ntwo\n"


def test_a_folder_is_its_text_files_by_name(tmp_path):
    (tmp_path / "b.txt").write_text("second\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"first\n"))
    (tmp_path / "c.md").write_text("no text file\n")
    assert read_text(tmp_path) == "first\n\nsecond\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b" \n\n", "a.txt must have some text, got 3 blank characters"),
        (b"\xe2\x80\x8b\0\n", "a.txt must have some text, got 3 blank characters"),
        (b"", "a.txt must have at least one line, got an empty file"),
        (b"one\ntw\xffo\n", "a.txt:2 must be UTF-8, got 0xff as byte 3 of the line"),
    ],
)
def test_a_file_without_text_is_refused(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    for path in (tmp_path / "a.txt", tmp_path):
        with pytest.raises(DataError, match=re.escape(message)):
            read_text(path)


def test_a_folder_must_hold_texts_and_each_once(tmp_path):
    with pytest.raises(DataError, match=re.escape("must have a file *.txt or *.txt.gz, got none")):
        read_text(tmp_path)
    (tmp_path / "a.txt").write_text("the same\n")
    (tmp_path / "b.txt").write_text("the same")
    message = re.escape("b.txt must be another text than a.txt, got it again")
    with pytest.raises(DataError, match=message):
        read_text(tmp_path)
    with pytest.raises(DataError, match=r"c\.txt must be a text file, got no such file"):
        read_text(tmp_path / "c.txt")
