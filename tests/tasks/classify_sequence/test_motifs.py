"""Planted motifs are drawn from their weights, and composition does not tell them apart."""

from collections import Counter

import numpy as np
import pytest

from heedful.errors import ConfigError
from heedful.tasks.classify_sequence.config import MotifData
from heedful.tasks.classify_sequence.motifs import (
    ACCEPTOR,
    DONOR,
    LETTERS,
    MOTIFS,
    NONE,
    TATA,
    background,
    planted_motifs,
    reverse_complement,
    shares,
)

DATA = MotifData(examples=2_000, dev=100, test=100, length=60)


def test_weights_are_whole():
    assert {sum(column) for column in zip(*TATA.values(), strict=True)} == {389}
    for table in (DONOR, ACCEPTOR):
        assert all(97 <= sum(column) <= 102 for column in zip(*table.values(), strict=True))
    for weights in MOTIFS.values():
        assert np.allclose(weights.sum(1), 1)


def test_the_likeliest_letters_are_the_known_consensus():
    said = {
        name: "".join(LETTERS[each] for each in weights.argmax(1))
        for name, weights in MOTIFS.items()
    }
    assert said["TATA box"].startswith("GTATAAAA")
    assert said["donor"] == "AAGGTAAGT"
    assert said["acceptor"].endswith("CAGGT")
    assert set(said["acceptor"][:11]) == {"T"}


@pytest.mark.parametrize("strands", ["one", "both"])
def test_motifs_stand_where_they_are_said_to(strands):
    split = planted_motifs(DATA.model_copy(update={"strands": strands}), 1)
    for name, weights in MOTIFS.items():
        found = []
        for each in split.train:
            assert 45 <= len(each.letters) <= 60
            if each.label == name:
                motif = each.letters[each.start : each.end]
                other = reverse_complement(motif)
                fits = [
                    sum(weights[place, LETTERS.index(letter)] for place, letter in enumerate(text))
                    for text in (motif, other)
                ]
                turned = strands == "both" and fits[1] > fits[0]
                found.append(other if turned else motif)
        counts = {each: tuple(map(Counter(c).__getitem__, LETTERS)) for each, c in columns(found)}
        table = np.array([counts[place] for place in range(len(weights))]) / len(found)
        assert np.abs(table - weights).max() < (0.12 if strands == "one" else 0.2)


def columns(texts):
    return enumerate(zip(*texts, strict=True))


def test_composition_does_not_tell():
    split = planted_motifs(DATA.model_copy(update={"examples": 6_000}), 2)
    share = {
        label: np.mean([np.mean([c in "GC" for c in e.letters]) for e in split.train if whose(e)])
        for label, whose in (
            (NONE, lambda e: e.label == NONE),
            ("some", lambda e: e.label != NONE),
        )
    }
    assert share[NONE] == pytest.approx(share["some"], abs=0.01)
    assert all(each.start == each.end == -1 for each in split.train if each.label == NONE)


def test_the_seed_decides_all_of_it_and_splits_share_nothing():
    assert planted_motifs(DATA, 1) == planted_motifs(DATA, 1)
    split = planted_motifs(DATA, 1)
    assert split != planted_motifs(DATA, 2)
    assert [len(part) for part in (split.train, split.dev, split.test)] == [1_800, 100, 100]
    parts = [{each.letters for each in part} for part in (split.train, split.dev, split.test)]
    assert len(set.union(*parts)) == 2_000


def test_a_strand_turned_twice_is_itself():
    assert reverse_complement("AACGTN") == "NACGTT"
    assert reverse_complement("RYSWKMBDHVN") == "NBDHVKMWSRY"
    assert reverse_complement(reverse_complement("ACGRYMVN")) == "ACGRYMVN"


def test_shares_and_the_background_sum_to_one():
    assert np.allclose(background(0.3), [0.35, 0.15, 0.15, 0.35])
    assert np.allclose(shares({"A": (1,), "C": (1,), "G": (2,), "T": (0,)}), [[0.25, 0.25, 0.5, 0]])


def test_the_shortest_sequence_holds_the_longest_motif():
    shortest = MotifData(examples=400, dev=1, test=1, length=22)
    assert min(len(each.letters) for each in planted_motifs(shortest, 1).train) == 17
    with pytest.raises(ConfigError, match="length must be at least 22, got 21"):
        MotifData(length=21)
