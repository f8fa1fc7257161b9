"""Passages: together they are the text, and held-out text stands in no other split."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from heedful.data.ragged import Ragged
from heedful.errors import DataError
from heedful.tasks.generate_text.config import ReferenceData, TextData
from heedful.tasks.generate_text.passages import Windows, cut, read_splits

TEXT = (
    "the quick brown fox\njumps over " * 20 + "extraordinarilylongwordwithoutanyspace" + "。" * 30
)


@pytest.mark.parametrize("length, before", [(1, 1), (7, 3), (32, 32), (10_000, 5)])
def test_passages_together_are_the_text(length, before):
    passages = cut(TEXT, length=length, before=before)
    assert "".join(passage.text for passage in passages) == TEXT
    assert max(len(passage.text) for passage in passages) <= length
    read = ""
    for passage in passages:
        assert passage.before == read[-before:]
        read += passage.text


def test_words_stay_whole_where_there_are_any():
    passages = cut("some words of a text " * 9, length=12, before=4)
    for one, following in pairwise(passages):
        assert one.text[-1] not in " \n"
        assert following.text[0] == " "


def test_a_text_too_short_gives_no_passage():
    assert cut("", length=4, before=4) == cut("x", length=4, before=4) == []


def windows(**settings):
    before = Ragged.pack([[], [2, 3], [5, 6]])
    text = Ragged.pack([[1, 2, 3], [4, 5, 6], [7]])
    return Windows(before, text, np.array([2, 3, 1]), **settings)


def test_a_batch_predicts_each_token_of_the_texts_once():
    batch = windows().batch([0, 1, 2], "cpu")
    predicted = [row[row >= 0].tolist() for row in batch.truth]
    assert predicted == [[2, 3], [4, 5, 6], [7]]
    for tokens, truth in zip(batch.tokens, batch.truth, strict=True):
        here = (truth[:-1] >= 0).nonzero()[:, 0]
        assert torch.equal(tokens[1:][here], truth[:-1][here])
    assert batch.characters.tolist() == [2, 3, 1]
    assert windows().tokens(1) == [2, 3, 4, 5, 6]


def test_training_reads_windows_from_anywhere_and_the_same_again():
    data = windows(context=3)
    first, again = (
        data.batch([0, 1, 2] * 30, "cpu", random=np.random.default_rng(4)) for _ in range(2)
    )
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.tokens[:, 1:], first.truth[:, :-1])
    assert torch.equal(first.tokens + 1, first.truth)  # the text counts from 1 to 7
    assert first.tokens[:, 0].unique().tolist() == [1, 2, 3, 4]
    assert data.sizes.tolist() == [[3]] * 3


def test_fingerprints_tell_texts_apart():
    other = Windows(
        Ragged.pack([[], [2, 3], [5, 6]]), Ragged.pack([[1, 2, 3], [4, 5], [6, 7]]), np.ones(3)
    )
    assert windows().fingerprint() == windows().fingerprint() != other.fingerprint()


def test_splits_are_the_text_in_order():
    splits = read_splits(ReferenceData(dev_share=0.2, test_share=0.3))
    whole = ["".join(x.text for x in part) for part in (splits.train, splits.dev, splits.test)]
    size = sum(map(len, whole))
    assert [len(part) / size for part in whole] == pytest.approx([0.5, 0.2, 0.3], abs=1e-3)
    assert splits.dev[0].before == splits.test[0].before == ""


def test_files_of_splits_take_the_place_of_shares(tmp_path):
    for name, text in {"a": "one two three " * 9, "b": "four five ", "c": "six seven "}.items():
        (tmp_path / name).write_text(text)
    paths = {"train": str(tmp_path / "a"), "dev": str(tmp_path / "b")}
    splits = read_splits(TextData(**paths, test=str(tmp_path / "c"), passage=4))
    parts = ["".join(x.text for x in part) for part in (splits.train, splits.dev, splits.test)]
    assert parts == [(tmp_path / name).read_text() + "\n" for name in "abc"]
    splits = read_splits(TextData(**paths, test_share=0.0))
    assert splits.test == []


@pytest.mark.parametrize("held_out", ["dev", "test"])
def test_a_held_out_file_must_be_another_text(tmp_path, held_out):
    (tmp_path / "a").write_text("one two three four five six")
    (tmp_path / "b").write_text("two three\n")
    data = TextData(train=str(tmp_path / "a"), **{held_out: str(tmp_path / "b")})
    message = f"data.{held_out} must be another text than data.train, got {tmp_path / 'b'}, "
    with pytest.raises(DataError, match=re.escape(message)):
        read_splits(data)


def test_a_text_too_short_for_its_shares_is_refused(tmp_path):
    (tmp_path / "a").write_text("short")
    message = "the dev split must have two characters or more, got a text of 6 characters in all"
    with pytest.raises(DataError, match=message):
        read_splits(TextData(train=str(tmp_path / "a")))
