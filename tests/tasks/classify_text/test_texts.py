"""Labelled texts: built in or from tables, cut, numbered and padded."""

import re

import numpy as np
import pytest

from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ragged
from heedful.errors import DataError
from heedful.tasks.catalog import find_task, parse_config
from heedful.tasks.classify_text.config import LanguageData, TableData
from heedful.tasks.classify_text.texts import Labelled, Texts, read_splits, read_table

TASK = find_task("classify-text")


def test_the_built_in_texts_are_phrases_and_their_languages():
    data = LanguageData(languages=("fi", "el"), examples=60, dev=7, test=11)
    splits = read_splits(data, 3)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [42, 7, 11]
    assert {example.label for example in splits.train} == {"fi", "el"}
    assert splits == read_splits(data, 3) != read_splits(data, 4)
    config = parse_config(
        {"task": "classify-text", "seed": 3, "data": {"languages": ["fi", "el"], "examples": 60}},
        overrides=["data.dev=7", "data.test=11"],
    )
    assert TASK.read(config) == splits
    assert TASK.read_training(config) == splits.train


def test_tables_are_read_by_the_columns_of_the_training(tmp_path):
    (tmp_path / "a.tsv").write_text("x\tyes\ta b\nx\t no \tc\n")
    data = TableData(train=str(tmp_path / "a.tsv"), dev=str(tmp_path / "a.tsv"), text="3")
    want = [Labelled("a b", "yes"), Labelled("c", "no")]
    splits = read_splits(data, 0)
    assert (splits.train, splits.dev, splits.test) == (want, want, [])
    assert read_table(data, tmp_path / "a.tsv", known={"yes", "no"}) == want
    config = parse_config({"task": "classify-text"})
    assert TASK.read_file(config, tmp_path / "a.tsv")[0] == Labelled("x", "yes")


def test_batches_hold_each_text_with_its_ngrams_and_label():
    tokens = Ragged.pack([[1, 5, 6, 2], [1, 2], [1, 6, 5, 6, 7, 2]])
    ngrams = Ngrams.fit(tokens, size=9, longest=3, min_count=1)
    data = Texts(tokens, ngrams, np.array([4, 0, -100]))
    numbers = ngrams.numbers(tokens)
    batch = data.batch([2, 0], "cpu")
    assert batch.tokens.tolist() == [[1, 6, 5, 6, 7, 2, 0, 0], [1, 5, 6, 2, 0, 0, 0, 0]]
    assert batch.ngrams[0, :6].tolist() == numbers[6:].tolist()
    assert batch.ngrams[1, :4].tolist() == numbers[:4].tolist()
    assert not batch.ngrams[0, 6:].any()
    assert not batch.ngrams[1, 4:].any()
    assert (batch.lengths.tolist(), batch.labels.tolist()) == ([6, 4], [-100, 4])
    assert (data.sizes.tolist(), data.amounts.tolist()) == ([[4], [4], [8]], [1, 1, 1])
    other = Texts(tokens, ngrams, np.array([4, 1, -100]))
    assert data.fingerprint() != other.fingerprint()


def test_a_long_text_is_cut_and_a_strange_label_refused():
    config = parse_config({"task": "classify-text", "tokens": {"max_length": 4}})
    task = TASK.fit(config, [Labelled("abcdef", "x"), Labelled("b", "y")])
    data = task.encode([Labelled("abcdef"), Labelled("b", "y")])
    assert data.tokens.lengths.tolist() == [4, 3]
    assert task.remark(data, []) == {"cut": 1}
    assert data.labels.tolist() == [-100, 1]
    with pytest.raises(DataError, match=re.escape("a label must be one of x, y, got 'z'")):
        task.encode([Labelled("a", "z")])
    with pytest.raises(DataError, match="a text must hold something to label, got ' '"):
        task.parse(" ")
