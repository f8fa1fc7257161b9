"""Words are put together from tokens, and left out with all of them."""

import numpy as np
import pytest
import torch

from heedful.data.tokens import PAD
from heedful.explaining.question import NOWHERE
from heedful.explaining.texts import joined, words_of

TOKENS = (1, 10, 11, 12, 13, 2)
PIECES = ("", "Un", "seen", " cats", "!", "")


def test_tokens_within_a_word_are_one_piece():
    words = words_of(TOKENS, PIECES)
    assert words.words == ("Unseen", " cats", "!")
    assert words.places == (NOWHERE, 0, 0, 1, 2, NOWHERE)


def test_or_each_its_own():
    words = words_of(TOKENS, PIECES, whole=False)
    assert words.words == PIECES[1:-1]
    assert words.places == (NOWHERE, 0, 1, 2, 3, NOWHERE)


@pytest.mark.parametrize(
    "pieces, expected",
    [
        (["a", "b", " c"], ("ab", " c")),
        (["in 19", "84"], ("in 1984",)),
        (["東", "京"], ("東", "京")),
        (["a.", "b"], ("a.", "b")),
        (["don", "'", "t"], ("don", "'", "t")),
        ([], ()),
    ],
)
def test_words_are_the_text(pieces, expected):
    words = words_of(range(len(pieces) + 2), ["", *pieces, ""])
    assert "".join(words.words) == "".join(pieces)
    if pieces[:1] != ["don"]:
        assert words.words == expected


def test_words_are_left_out_with_their_tokens():
    words = words_of(TOKENS, PIECES)
    kept = torch.tensor([[True, True, True], [False, True, True], [True, False, False]])
    rows = [[1, 10, 11, 12, 13, 2], [1, 12, 13, 2], [1, 10, 11, 2]]
    assert words.kept(kept).lists() == rows
    assert words.kept(kept).flat.dtype == np.int32
    tokens, lengths = words.batch(kept)
    assert lengths.tolist() == [6, 4, 4]
    assert tokens.tolist() == [row + [PAD] * (6 - len(row)) for row in rows]


def test_texts_are_joined():
    first, second = words_of(TOKENS, PIECES), words_of((1, 7, 2), ("", "a", ""))
    pieces, places = joined([first, second])
    assert pieces == ("Unseen", " cats", "!", "a")
    assert places == (-1, 0, 0, 1, 2, -1, -1, 3, -1)
