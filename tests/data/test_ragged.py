"""Packed texts come back as they were."""

import math

import numpy as np
from hypothesis import given
from hypothesis.strategies import data, integers, lists

from heedful.data.ragged import Ragged

TEXTS = lists(lists(integers(1, 1_000), max_size=7), min_size=1, max_size=9)


@given(texts=TEXTS, draw=data())
def test_a_batch_is_the_texts_padded(texts, draw):
    packed = Ragged.pack(texts)
    rows = draw.draw(lists(integers(0, len(texts) - 1), min_size=1, max_size=5))
    multiple = draw.draw(integers(1, 5))
    matrix, lengths = packed.padded(rows, pad=0, multiple=multiple)
    longest = multiple * math.ceil(max(len(texts[row]) for row in rows) / multiple)
    assert len(packed) == len(texts)
    assert packed.lengths.tolist() == [len(text) for text in texts]
    assert lengths.tolist() == [len(texts[row]) for row in rows]
    assert matrix.tolist() == [texts[row] + [0] * (longest - len(texts[row])) for row in rows]
    assert matrix.dtype == np.int64


def test_each_text_by_itself_is_what_was_packed():
    texts = [[1, 2, 3], [], [7]]
    assert Ragged.pack(texts).lists() == texts


@given(texts=TEXTS)
def test_the_fingerprint_sees_tokens_and_borders(texts):
    packed = Ragged.pack(texts)
    assert packed.fingerprint() == Ragged.pack([list(text) for text in texts]).fingerprint()
    assert packed.fingerprint() != Ragged.pack([*texts, []]).fingerprint()
    if packed.flat.size:
        changed = Ragged(packed.flat + 1, packed.starts)
        assert packed.fingerprint() != changed.fingerprint()


@given(texts=TEXTS, longest=integers(2, 8))
def test_a_cut_text_keeps_its_beginning_and_its_last_number(texts, longest):
    short = Ragged.pack(texts).cut(longest)
    want = [text if len(text) <= longest else [*text[: longest - 1], text[-1]] for text in texts]
    assert [row.tolist() for row in np.split(short.flat, short.starts[1:-1])] == want
    assert Ragged.pack(texts).cut(None).fingerprint() == Ragged.pack(texts).fingerprint()


def test_all_texts_empty():
    matrix, lengths = Ragged.pack([[], []]).padded([0, 1], pad=0)
    assert matrix.shape == (2, 0)
    assert lengths.tolist() == [0, 0]
