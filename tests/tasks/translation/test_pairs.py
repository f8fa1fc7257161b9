"""Pairs as tokens: markers, limits, padding, and what changes their fingerprint."""

import pytest

from heedful.data.examples import Example
from heedful.data.tokens import BOS, EOS, PAD
from heedful.tasks.translation.config import Tokens
from heedful.tasks.translation.pairs import encode, train_vocabularies

EXAMPLES = [
    Example("one two", "一二"),
    Example("three", "三"),
    Example("four five six seven", "四五六七"),
]


@pytest.fixture
def vocabularies():
    return train_vocabularies(Tokens(), EXAMPLES)


def test_tokens_begin_and_end_with_markers(vocabularies):
    pairs, dropped = encode(EXAMPLES, vocabularies, max_length=9)
    source, lengths, target = pairs.batch([0, 1], "cpu")
    assert dropped == 0
    assert source[:, 0].tolist() == target[:, 0].tolist() == [BOS, BOS]
    assert lengths.tolist() == [4, 3]
    assert source[1, 3] == PAD
    assert (target == EOS).sum(-1).tolist() == [1, 1]
    assert vocabularies.target.decode(target.tolist()) == ["一二", "三"]


def test_the_limit_counts_text_not_markers(vocabularies):
    for limit, kept in ((4, 3), (3, 2), (2, 2), (1, 1), (None, 3)):
        pairs, dropped = encode(EXAMPLES, vocabularies, max_length=limit)
        assert (len(pairs), dropped) == (kept, 3 - kept)
        assert pairs.examples == [
            EXAMPLES[row] for row in ((0, 1, 2) if kept == 3 else (0, 1) if kept == 2 else (1,))
        ]


def test_sizes_are_as_padded_and_amounts_are_what_is_read_and_predicted(vocabularies):
    pairs, _ = encode(EXAMPLES, vocabularies)
    assert pairs.lengths.tolist() == [[4, 4], [3, 3], [6, 6]]
    assert pairs.sizes.tolist() == [[4, 4], [4, 4], [8, 8]]
    for row in range(len(EXAMPLES)):
        source, lengths, target = pairs.batch([row], "cpu")
        assert [source.shape[1], target.shape[1]] == pairs.sizes[row].tolist()
        predicted = (target[:, 1:] != PAD).sum() + lengths.sum()
        assert pairs.amounts[row] == predicted


def test_batches_are_the_same_whatever_is_drawn(vocabularies):
    import numpy as np

    pairs, _ = encode(EXAMPLES, vocabularies)
    plain = pairs.batch([2, 0], "cpu")
    drawn = pairs.batch([2, 0], "cpu", random=np.random.default_rng(3))
    assert all(one.equal(other) for one, other in zip(plain, drawn, strict=True))


def test_a_fingerprint_changes_with_either_side_and_with_the_order(vocabularies):
    def of(examples):
        return encode(examples, vocabularies)[0].fingerprint()

    first = of(EXAMPLES)
    assert first == of(list(EXAMPLES))
    others = [
        EXAMPLES[::-1],
        EXAMPLES[:2],
        [Example("one one", "一二"), *EXAMPLES[1:]],
        [Example("one two", "一一"), *EXAMPLES[1:]],
    ]
    assert all(of(other) != first for other in others)
    assert of([Example("one two", "一一"), *EXAMPLES[1:]])[0] == first[0], "its source is the same"


def test_a_cut_keeps_beginnings_of_both_sides(vocabularies):
    pairs, _ = encode(EXAMPLES, vocabularies)
    cut = pairs.cut(3)
    assert cut.lengths.tolist() == [[3, 3], [3, 3], [3, 3]]
    assert cut.examples is pairs.examples
    assert pairs.cut(None).lengths.tolist() == pairs.lengths.tolist()
    first = pairs.batch([2], "cpu")[0][0, :2].tolist()
    assert cut.batch([2], "cpu")[0][0].tolist() == [*first, EOS, PAD], "it ends as any text"


def test_rare_pieces_become_unknown_and_each_side_has_its_own_kind():
    tokens = Tokens(source="characters", target="words", min_count=2)
    learned = train_vocabularies(tokens, [Example("aab", "x x y"), Example("a", "x")])
    assert "".join(learned.source.pieces("aab")[1:-1]) == "aab"
    unknown = learned.source.encode(["b"])[0][1]
    assert unknown == learned.source.encode(["z"])[0][1] != learned.source.encode(["a"])[0][1]
    assert learned.target.encode(["y"])[0][1] == learned.target.encode(["q"])[0][1]
