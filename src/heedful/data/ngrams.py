"""Which short runs of tokens a model knows, as a vocabulary of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from heedful.data.ragged import Ints, Ragged
from heedful.errors import ConfigError, RunError
from heedful.files import read_whole, write_bytes

_LARGEST = 1 << 30  # bytes of a saved file


@dataclass(frozen=True, kw_only=True)
class Ngrams:
    """The runs of two, three and more tokens that have a number.

    Args:
        size: Tokens of the vocabulary that the runs are made of.
        keys: One sorted array for each length of runs, the shortest first. A key is the run as one
            number; where it would be too large it wraps around, and two runs hardly ever share one.

    Source:
        Bojanowski et al. 2016, arXiv:1607.04606, section 3.2 (a word as the sum of its character
        n-grams); here n-grams have rows of their own instead of hashed ones.
    """

    size: int
    keys: tuple[Ints, ...]

    @staticmethod
    def fit(texts: Ragged, *, size: int, longest: int, min_count: int) -> "Ngrams":
        """Collect the runs of `texts`.

        Args:
            texts: Tokens of the training split.
            size: Tokens of the vocabulary.
            longest: Tokens of the longest runs; 1 means that no run has a number.
            min_count: Rarer ones get no number.

        Raises:
            ConfigError: `longest` or `min_count` is below 1.
        """
        if longest < 1 or min_count < 1:
            raise ConfigError(
                f"longest and min_count must be at least 1, got {longest=}, {min_count=}"
            )
        kept: list[Ints] = []
        for keys, there in _keys(texts, size=size, longest=longest):
            found, counts = np.unique(keys[there], return_counts=True)
            kept.append(found[counts >= min_count])
        return Ngrams(size=size, keys=tuple(kept))

    @property
    def count(self) -> int:
        """Numbers that are given, 0 included: it stands for a run that has none of its own."""
        return 1 + sum(map(len, self.keys))

    def numbers(self, texts: Ragged) -> NDArray[np.int32]:
        """Return the numbers of the runs that begin at each token, `(tokens, lengths of runs)`."""
        numbers = np.zeros((len(texts.flat), len(self.keys)), np.int32)
        first = 1
        runs = _keys(texts, size=self.size, longest=1 + len(self.keys))
        for column, (known, (keys, there)) in enumerate(zip(self.keys, runs, strict=True)):
            if len(known):
                place = np.searchsorted(known, keys).clip(max=len(known) - 1)
                numbers[:, column] = np.where(there & (known[place] == keys), first + place, 0)
            first += len(known)
        return numbers

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all.

        Raises:
            RunError: The folder cannot be written.
        """
        arrays = {f"{length}": keys for length, keys in enumerate(self.keys, start=2)}
        write_bytes(path, save({"size": np.array(self.size), **arrays}))

    @staticmethod
    def load(path: Path) -> "Ngrams":
        """Read what `save` wrote.

        Raises:
            RunError: There is no such file, or it holds something else.
        """
        try:
            arrays = load(read_whole(path, most=_LARGEST))
            size = int(arrays.pop("size"))
            keys = tuple(arrays[f"{length}"] for length in range(2, 2 + len(arrays)))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} must be saved n-grams, got {error!r:.200}") from None
        if any(array.dtype != np.int64 or array.ndim != 1 for array in keys):
            raise RunError(f"{path} must be saved n-grams, got arrays that are no lists of keys")
        return Ngrams(size=size, keys=keys)


def _keys(texts: Ragged, *, size: int, longest: int) -> Iterator[tuple[Ints, NDArray[np.bool_]]]:
    """For each length of runs: the key of the run from each token on, and does it end in time?"""
    tokens, base = texts.flat.astype(np.int64), size | 1  # of an odd one no token shifts out
    here, ends = np.arange(len(tokens)), np.repeat(texts.starts[1:], texts.lengths)
    keys = tokens
    for length in range(2, longest + 1):
        last = here + length - 1
        there = last < ends
        keys = keys * base + tokens[np.where(there, last, 0)]
        yield keys, there
