"""Motifs of published position weights, planted in random DNA of the same composition."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from heedful.data.examples import Splits
from heedful.data.sequences import Sequence
from heedful.tasks.classify_sequence.config import MotifData

Floats = NDArray[np.float64]
LETTERS = "ACGT"
NONE = "none"
SPREAD = 0.15  # how far the share of G and C of a sequence may be from its mean

# counts at each place of 389 TATA boxes: Bucher 1990, Journal of Molecular Biology 212, 563-578
# (matrix MA0108 of JASPAR)
TATA = {
    "A": (61, 16, 352, 3, 354, 268, 360, 222, 155, 56, 83, 82, 82, 68, 77),
    "C": (145, 46, 0, 10, 0, 0, 3, 2, 44, 135, 147, 127, 118, 107, 101),
    "G": (152, 18, 2, 2, 5, 0, 20, 44, 157, 150, 128, 128, 128, 139, 140),
    "T": (31, 309, 35, 374, 30, 121, 6, 121, 33, 48, 31, 52, 61, 75, 71),
}
# per cent at each place of human splice sites: Zhang 1998, Human Molecular Genetics 7, 919-932
DONOR = {
    "A": (38, 62, 12, 0, 0, 71, 73, 11, 21),
    "C": (31, 10, 4, 0, 0, 2, 6, 6, 10),
    "G": (18, 12, 77, 100, 0, 24, 8, 75, 14),
    "T": (13, 16, 7, 0, 100, 3, 13, 8, 55),
}
ACCEPTOR = {
    "A": (15, 14, 13, 11, 10, 10, 11, 12, 13, 11, 10, 26, 7, 100, 0, 26, 24),
    "C": (24, 21, 20, 22, 21, 22, 25, 28, 28, 25, 22, 25, 55, 0, 0, 11, 15),
    "G": (10, 12, 10, 9, 10, 9, 10, 10, 8, 5, 5, 15, 1, 0, 100, 50, 20),
    "T": (51, 53, 57, 58, 59, 59, 54, 50, 51, 59, 63, 33, 37, 0, 0, 13, 41),
}


def shares(counts: Mapping[str, tuple[int, ...]]) -> Floats:
    """Return how often each letter stands at each place, `(places, letters)`."""
    table = np.array([counts[letter] for letter in LETTERS], float).T
    return table / table.sum(1, keepdims=True)


MOTIFS = {"TATA box": shares(TATA), "donor": shares(DONOR), "acceptor": shares(ACCEPTOR)}


def planted_motifs(data: MotifData, seed: int) -> Splits[Sequence]:
    """Return DNA with one motif each, or with the letters of one out of order.

    Each sequence has a share of G and C of its own, drawn alike for all labels. A sequence without
    a motif has the letters of one, in another order: so its composition does not tell.

    Args:
        data: How many, how long.
        seed: Decides all of it.
    """
    draw = np.random.default_rng(seed)
    labels = [*MOTIFS, NONE]
    made = [_sequence(labels[number % len(labels)], data, draw) for number in range(data.examples)]
    order = draw.permutation(len(made)).tolist()
    dev, test = data.dev, data.dev + data.test
    mixed = [made[place] for place in order]
    return Splits(train=mixed[test:], dev=mixed[:dev], test=mixed[dev:test])


def background(gc: float) -> Floats:
    """Return how often each letter stands anywhere."""
    return np.array([1 - gc, gc, gc, 1 - gc]) / 2


def reverse_complement(letters: str) -> str:
    """Return the other strand, read in its own direction; ambiguous letters stay so."""
    return letters[::-1].translate(COMPLEMENT)


COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")


def _sequence(label: str, data: MotifData, draw: np.random.Generator) -> Sequence:
    length = int(draw.integers(-(-3 * data.length // 4), data.length + 1))
    gc = data.gc + draw.uniform(-SPREAD, SPREAD)
    letters = draw.choice(4, length, p=background(gc))
    names = list(MOTIFS)
    weights = MOTIFS[names[draw.integers(len(names))] if label == NONE else label]
    motif = (draw.random((len(weights), 1)) >= weights.cumsum(1)[:, :3]).sum(1)
    if label == NONE:
        motif = draw.permutation(motif)
    start = int(draw.integers(length - len(motif) + 1))
    end = start + len(motif)
    letters[start:end] = motif
    text = "".join(LETTERS[letter] for letter in letters)
    if data.strands == "both" and draw.random() < 0.5:
        text, start, end = reverse_complement(text), length - end, length - start
    return Sequence(text, label, *((-1, -1) if label == NONE else (start, end)))
