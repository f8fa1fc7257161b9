"""Examples of files and folders: every kind, every role, and every way to be wrong."""

import gzip
import re

import pytest

from heedful.checkpoints.examples import CheckpointData, CheckpointExample, read_examples
from heedful.errors import ConfigError, DataError

A = CheckpointExample


def written(path, text):
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["t.txt", "t.txt.gz"])
def test_a_text_is_a_line_and_blank_lines_are_none(tmp_path, name):
    path = written(tmp_path / name, "one, two\n\n  \n三\n")
    assert read_examples(path, {}, needed=("text",)) == [A(text="one, two"), A(text="三")]


@pytest.mark.parametrize(
    "name, content",
    [
        ("t.csv", 'id,label,text\n1,yes,"one, two"\n2,no,three\n'),
        ("t.tsv", "id\tlabel\ttext\n1\tyes\tone, two\n2\tno\tthree\n"),
        ("t.tsv.gz", "id\tlabel\ttext\n1\tyes\tone, two\n2\tno\tthree\n"),
        (
            "t.jsonl",
            '{"text": "one, two", "label": "yes"}\n{"label": "no", "id": 2, "text": "three"}\n',
        ),
    ],
)
def test_columns_are_found_by_their_own_names(tmp_path, name, content):
    path = written(tmp_path / name, content)
    assert read_examples(path, {}, needed=("text",), wanted=("label", "pair")) == [
        A(text="one, two", label="yes"),
        A(text="three", label="no"),
    ]
    assert read_examples(path, {}, needed=("text",))[0] == A(text="one, two")


def test_columns_are_named_by_the_user(tmp_path):
    path = written(tmp_path / "t.csv", "body,stars,other\ngood,5,x\nbad,1,y\n")
    found = read_examples(
        path, {"text": "body", "label": "stars"}, needed=("text",), wanted=("label",)
    )
    assert found == [A(text="good", label="5"), A(text="bad", label="1")]


def test_numbers_are_columns_of_a_table_without_a_header(tmp_path):
    path = written(tmp_path / "t.tsv", "one\teins\ntwo\tzwei\n")
    found = read_examples(path, {"text": "2", "target": "1"}, needed=("text",), wanted=("target",))
    assert found == [A(text="eins", target="one"), A(text="zwei", target="two")]


def test_numbers_of_json_are_labels(tmp_path):
    path = written(
        tmp_path / "t.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": null}\n'
    )
    found = read_examples(path, {}, needed=("text",), wanted=("label",))
    assert [example.label for example in found] == ["1", ""]


def test_files_of_a_table_are_beside_it(tmp_path):
    path = written(tmp_path / "t.csv", "file,target\nsounds/a.wav,hello\n")
    (found,) = read_examples(path, {}, needed=("file",), wanted=("target",))
    assert found == A(file=str(tmp_path / "sounds" / "a.wav"), target="hello")


def test_a_folder_has_files_or_a_folder_for_each_label(tmp_path):
    for name in ("b.png", "a.PNG", "notes.md", ".hidden.png"):
        (tmp_path / name).touch()
    found = read_examples(tmp_path, {}, needed=("file",), suffixes=(".png",))
    assert [example.file for example in found] == [str(tmp_path / "a.PNG"), str(tmp_path / "b.png")]
    labelled = tmp_path / "labelled"
    for label in ("cat", "dog"):
        (labelled / label).mkdir(parents=True)
        (labelled / label / "1.png").touch()
    found = read_examples(labelled, {}, needed=("file",), suffixes=(".png",))
    assert [example.label for example in found] == ["cat", "dog"]


@pytest.mark.parametrize(
    "name, content, columns, must",
    [
        ("t.txt", "", {}, "must have at least one line, got an empty file"),
        ("t.txt", "\n \n", {}, "must have a line with a text, got blank ones only"),
        ("t.txt", "a\n", {"text": "a"}, "must be a table to have columns, got lines of text"),
        ("t.csv", "a,b\n1,2\n", {}, "got a, b. Say which it is: --column text=NAME"),
        ("t.csv", "text,b\n1,2\n", {"label": "c"}, "must have a column 'c', got text, b"),
        ("t.csv", "text\n1\n", {"target": "text"}, "must be given no target, got 'text' for it"),
        ("t.csv", "text\n", {}, "must have a line below its header, got none"),
        ("t.jsonl", "[1]\n", {}, "t.jsonl:1 must be a JSON object, got [1]"),
        ("t.jsonl", "{\n", {}, "t.jsonl:1 must be a JSON object, got: "),
        ("t.jsonl", '{"text": "a"}\n{"x": 1}\n', {}, ":2 must have a text in 'text', got None"),
        ("t.jsonl", '{"text": " "}\n', {}, "t.jsonl:1 must have a text in 'text', got ' '"),
        ("t.jsonl", '{"text": 1.5}\n', {}, "t.jsonl:1 must have a text in 'text', got 1.5"),
        ("t.jsonl", '{"body": "a"}\n', {}, "must have a column 'text', got body"),
        ("t.parquet", "x", {}, "must be *.txt, *.csv, *.tsv or *.jsonl, plain or as .gz"),
        ("none", None, {}, "data must be *.txt"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, name, content, columns, must):
    path = tmp_path / name
    if content is not None:
        written(path, content)
    with pytest.raises(DataError, match=re.escape(must)) as caught:
        read_examples(path, columns, needed=("text",), wanted=("label",))
    assert "\n" not in str(caught.value)


def test_lines_have_no_second_column(tmp_path):
    path = written(tmp_path / "t.txt", "a\n")
    with pytest.raises(DataError, match=r"must be a table with a column 'file', got lines"):
        read_examples(path, {}, needed=("file",))


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"for a model that reads texts, got the folder"):
        read_examples(tmp_path, {}, needed=("text",))
    with pytest.raises(DataError, match=r"must hold \.png files, got none"):
        read_examples(tmp_path, {}, needed=("file",), suffixes=(".png",))
    with pytest.raises(DataError, match=r"must be read without columns, got text"):
        read_examples(tmp_path, {"text": "a"}, needed=("file",), suffixes=(".png",))


def test_columns_have_known_roles(tmp_path):
    with pytest.raises(ConfigError, match=r"columns must be of text, pair, .*, got 'colour'"):
        CheckpointData(path=tmp_path, columns={"colour": "a"})
