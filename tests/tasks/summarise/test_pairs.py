"""Words beyond the vocabulary keep a number of their text, on both sides."""

import re

import pytest
import torch

from heedful.data import docstrings
from heedful.data.examples import Example
from heedful.data.tokens import BOS, EOS, UNKNOWN, train_tokenizer
from heedful.errors import DataError
from heedful.tasks.summarise.config import DocstringData, TableData
from heedful.tasks.summarise.pairs import LONGEST, as_read, encode, read_splits, read_table, written

VOCABULARY = train_tokenizer("words", [" the cat sat on a mat"], vocabulary=50)
SIZE = VOCABULARY.size
EXAMPLES = [
    Example("The zebra sat on a zebra, Yak", "the yak zebra gnu"),
    Example("the cat", "a cat"),
    Example("gnu", "gnu gnu"),
]


def test_each_text_numbers_its_own_words():
    pairs = encode(EXAMPLES, VOCABULARY, lowercase=True, longest=20, copying=True)
    assert pairs.words == [[" zebra", ",", " yak"], [], [" gnu"]]
    source, lengths, target = pairs.batch([0, 2], "cpu")
    known = VOCABULARY.encode([" the sat on a"])[0]
    assert source[0, :9].tolist() == [*(BOS, known[1], SIZE, *known[2:5], SIZE, SIZE + 1, SIZE + 2)]
    assert target[0, :6].tolist() == [BOS, known[1], SIZE + 2, SIZE, UNKNOWN, EOS]
    assert source[1, :3].tolist() == [BOS, SIZE, EOS]
    assert target[1, :4].tolist() == [BOS, SIZE, SIZE, EOS]
    assert lengths.tolist() == [10, 3]
    assert source.dtype == torch.int64


def test_without_copying_they_are_unknown():
    pairs = encode(EXAMPLES, VOCABULARY, lowercase=True, longest=20, copying=False)
    assert pairs.words == [[], [], []]
    assert pairs.source.flat.max() < SIZE
    assert (
        pairs.fingerprint()
        != encode(EXAMPLES, VOCABULARY, lowercase=True, longest=20, copying=True).fingerprint()
    )


def test_only_what_is_read_can_be_copied():
    pairs = encode(EXAMPLES[:1], VOCABULARY, lowercase=True, longest=3, copying=True)
    assert pairs.words == [[" zebra"]]
    assert pairs.source.lengths.tolist() == [5]
    assert pairs.cut == 1


def test_a_summary_that_no_memory_could_hold_is_refused():
    settings = {"lowercase": True, "longest": 20, "copying": True}
    encode([Example("a cat", "cat " * LONGEST)], VOCABULARY, **settings)
    with pytest.raises(DataError, match="at most 4,000 tokens, got 4,001: 'cat cat"):
        encode([Example("a cat", "cat " * (LONGEST + 1))], VOCABULARY, **settings)


def test_what_was_read_comes_back():
    for lowercase in (True, False):
        settings = {"lowercase": lowercase, "longest": 20, "copying": True}
        pairs = encode(EXAMPLES, VOCABULARY, **settings)
        for row, example in enumerate(EXAMPLES):
            tokens = pairs.source.flat[pairs.source.starts[row] : pairs.source.starts[row + 1]]
            text = written(VOCABULARY, tokens[1:-1].tolist(), pairs.words[row])
            assert text == (example.source.lower() if lowercase else example.source)
    assert as_read(" Ab  c\n", lowercase=True) == " ab  c"


def test_tables_are_read_by_their_columns(tmp_path):
    (tmp_path / "a.csv").write_text('name,long,short\nx,"one, two",one\ny,three four, three \n')
    path = str(tmp_path / "a.csv")
    data = TableData(train=path, dev=path, text="long", summary="short")
    assert read_table(data, path) == [Example("one, two", "one"), Example("three four", "three")]
    splits = read_splits(data, 1)
    assert (len(splits.train), len(splits.dev), splits.test) == (2, 2, [])


def test_a_blank_cell_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.tsv").write_text("a text\tone\nanother\t \n")
    message = re.escape("a.tsv:2 must have a text in column '2', got ' '")
    with pytest.raises(DataError, match=message):
        read_table(TableData(train="", dev=""), str(tmp_path / "a.tsv"))


def test_the_built_in_texts_are_of_the_standard_library(monkeypatch):
    names = {"statistics.py", "argparse.py", "zipfile.py", "heapq.py", "random.py", "csv.py"}
    files = [path for path in docstrings._files() if path.name in names]
    monkeypatch.setattr(docstrings, "_files", lambda: files)
    splits = read_splits(DocstringData(dev_share=0.3, test_share=0.0), 1)
    assert len(splits.train) > 20
    modules = [{example.kind for example in part} for part in (splits.train, splits.dev)]
    assert modules[1]
    assert not modules[0] & modules[1]
