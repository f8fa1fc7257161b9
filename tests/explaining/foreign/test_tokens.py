"""Copies of a text hold what is left of it, and say where they end."""

import pytest
import torch

from heedful.errors import DataError, ShapeError
from heedful.explaining.foreign.tokens import Tokens, numbered, tokenized

KEPT = torch.tensor([[1, 1, 1], [0, 1, 0], [0, 0, 0]]).bool()


@pytest.mark.parametrize(
    "blank, begin, expected, lengths",
    [
        (None, 9, [[4, 5, 6], [5, 0, 0], [9, 0, 0]], [3, 1, 1]),
        (7, None, [[4, 5, 6], [7, 5, 7], [7, 7, 7]], [3, 3, 3]),
    ],
)
def test_what_is_removed_is_blank_or_gone(blank, begin, expected, lengths):
    text = numbered((4, 5, 6), "abc", blank=blank, begin=begin)
    copies = text.kept(KEPT)
    assert copies.tokens.tolist() == expected
    assert copies.lengths.tolist() == lengths
    assert text.removal == ("left out of the text" if blank is None else "replaced by token 7")


def test_markers_stay_and_something_may_follow():
    text = numbered((1, 4, 5, 6, 2), "[abc]", markers={1, 2}, pad=3)
    assert (text.pieces, text.places) == (("a", "b", "c"), (-1, 0, 1, 2, -1))
    copies = text.kept(KEPT, behind=[8])
    assert copies.tokens.tolist() == [[1, 4, 5, 6, 2, 8], [1, 5, 2, 8, 3, 3], [1, 2, 8, 3, 3, 3]]
    assert copies.there.sum(1).tolist() == [6, 4, 3]


def fast(**special):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    known = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "un", "##seen", "cats", "!"]
    numbers = {token: number for number, token in enumerate(known)}
    inner = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, cls_token="[CLS]", sep_token="[SEP]", **special
    )


def test_words_of_a_fast_tokenizer():
    text = tokenized(fast(mask_token="[MASK]", pad_token="[PAD]"), "unseen  cats!")
    assert text.numbers == (1, 5, 6, 7, 8, 2)
    assert text.pieces == ("unseen", "cats", "!")
    assert text.places == (-1, 0, 0, 1, 2, -1)
    assert (text.blank, text.begin, text.pad) == (3, None, 0)


def test_tokens_of_a_tokenizer():
    text = tokenized(fast(eos_token="[SEP]"), "unseen cats", words=False)
    assert len(text.pieces) == 3
    assert text.places == (-1, 0, 1, 2, -1)
    assert (text.blank, text.begin) == (None, 2)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"places": (0,)}, ShapeError, "places must be as many as the 2 tokens, got 1"),
        ({"places": (-1, -1)}, DataError, r"each of 1 pieces must have a token, got those of \[\]"),
        ({"places": (0, 1)}, DataError, r"each of 1 pieces must have .* got those of \[0, 1\]"),
        ({"places": (0, 0)}, DataError, "must have a marker, a blank or a begin, got none"),
    ],
)
def test_rejects_texts_that_do_not_fit(settings, error, message):
    with pytest.raises(error, match=message):
        Tokens(**{"numbers": (4, 5), "pieces": ("a",), **settings})
    with pytest.raises(ShapeError, match="names must be as many as the 2 tokens, got 1"):
        numbered((4, 5), "a")
