"""A language model that counts: n-grams with interpolated, modified Kneser-Ney smoothing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heedful.data.ragged import Ints
from heedful.errors import ConfigError, DataError

Floats = NDArray[np.float64]


class KneserNey:
    """Probabilities of the next token from the `order - 1` before it.

    `p(w | h) = (max(c(h w) - D, 0) + mass(h) p(w | h')) / sum_v c(h v)`, where `h'` is `h` without
    its first token, `D` is one of three discounts by the count, and `mass(h)` is what was
    discounted. In all but the longest n-grams `c` counts the different tokens seen before one. The
    shortest step is to all tokens alike, so nothing has the probability 0.

    Args:
        tokens: A text to learn from.
        size: Vocabulary; tokens are below it.
        order: Tokens of the longest n-grams.

    Raises:
        ConfigError: `order < 1`.
        DataError: There is no token.

    Source:
        Kneser and Ney 1995, "Improved backing-off for m-gram language modeling".
        Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling",
        section 3 (interpolated, three discounts).

    Cost:
        A sort of the text for each order.
    """

    def __init__(self, tokens: Sequence[int] | Ints, *, size: int, order: int) -> None:
        if order < 1:
            raise ConfigError(f"order must be at least 1, got {order}")
        text = np.asarray(tokens, np.int64)
        if not len(text):
            raise DataError("tokens must be a text to count, got none")
        self.size, self.order = size, min(order, len(text))
        self._keys: list[Ints] = []  # of each length: node of all but the last token, and the last
        self._counts: list[Ints] = []
        places, firsts = [np.zeros(len(text), np.int64)], list[Ints]()
        for length in range(1, self.order + 1):
            parents = places[-1][: len(text) - length + 1]
            keys, first, place, counts = np.unique(
                parents * size + text[length - 1 :],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            self._keys.append(keys)
            self._counts.append(counts)
            places.append(place)
            firsts.append(first)
        for length in range(1, self.order):
            # the n-gram without its first token begins one place further
            inner = places[length][firsts[length] + 1]
            different = np.bincount(inner, minlength=len(self._keys[length - 1]))
            self._counts[length - 1] = np.maximum(different, 1)
        self._parts = [
            self._part(keys, counts) for keys, counts in zip(self._keys, self._counts, strict=True)
        ]

    def log_probabilities(self, tokens: Sequence[int] | Ints) -> Floats:
        """Return `log p` of each token from those before it in the same text."""
        text = np.asarray(tokens, np.int64)
        found = np.full(len(text), 1 / self.size)
        for length in range(1, min(self.order, len(text)) + 1):
            found[length - 1 :] = self._longer(text, length, found[length - 1 :])
        return np.log(found)

    def _longer(self, text: Ints, length: int, shorter: Floats) -> Floats:
        """Probabilities by n-grams of this length, from those by shorter ones."""
        keys, counts = self._keys[length - 1], self._counts[length - 1]
        nodes = np.zeros(len(text) - length + 1, np.int64)
        for place in range(length - 1):
            nodes = _found(self._keys[place], nodes, text[place : place + len(nodes)], self.size)
        whole = _found(keys, nodes, text[length - 1 :], self.size)
        lost, totals, masses = self._parts[length - 1]
        kept = np.where(whole >= 0, counts[whole] - lost[whole], 0.0)
        known = (nodes >= 0) & (nodes < len(totals))
        known &= totals[np.where(known, nodes, 0)] > 0
        node = np.where(known, nodes, 0)
        total = np.where(known, totals[node], 1.0)
        return np.where(known, (kept + masses[node] * shorter) / total, shorter)

    def _part(self, keys: Ints, counts: Ints) -> tuple[Floats, Floats, Floats]:
        """What is taken off each n-gram; all counts below each node, and all that is taken off."""
        lost, parents = _discounts(counts)[np.minimum(counts, 3)], keys // self.size
        totals, masses = (
            np.bincount(parents, weights=weights).astype(float) for weights in (counts, lost)
        )
        return lost, totals, masses


def _found(keys: Ints, parents: Ints, tokens: Ints, size: int) -> Ints:
    """The nodes below `parents`, -1 where there is none."""
    wanted = np.where(parents >= 0, parents * size + tokens, -1)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((parents >= 0) & (keys[places] == wanted), places, -1)


def _discounts(counts: Ints) -> Floats:
    """What is taken off counts of 0, 1, 2, and 3 or more."""
    n1, n2, n3, n4 = (max(int((counts == count).sum()), 0) for count in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return np.array([0.0, 0.5, 0.5, 0.5])  # too few to estimate it
    share = n1 / (n1 + 2 * n2)
    found = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
    return np.array([0.0, *(min(max(d, 0.05), k - 0.05) for k, d in enumerate(found, 1))])
