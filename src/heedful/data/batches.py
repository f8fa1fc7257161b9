"""Which examples go into one batch: alike in length, so that little of it is padding."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from heedful.data.ragged import Ints
from heedful.errors import ConfigError

# Lengths are padded to a multiple of this. Kernels are prepared for each shape that they meet, so
# batches of few shapes run faster than the padding costs.
MULTIPLE = 4


def size_batches(sizes: ArrayLike, *, most: int, seed: int, epoch: int) -> list[list[int]]:
    """Divide examples into batches of about equal size and of few shapes.

    A batch takes `len(batch) * (the sum of its largest sizes) <= most`; an example that is larger
    than that is a batch of its own.

    Args:
        sizes: Room that each example takes as padded, a row each: its tokens on every side; 1 where
            all are alike.
        most: Largest room of a batch, padding included.
        seed: With `epoch`, decides the order and the company; nothing else does.
        epoch: Which pass over the examples this is.

    Returns:
        Row numbers of `sizes`, each exactly once.

    Raises:
        ConfigError: `most` is below 1.
    """
    if most < 1:
        raise ConfigError(f"most must be at least 1, got {most}")
    random = np.random.default_rng([seed, epoch])
    sizes = np.asarray(sizes, dtype=np.int64)
    order = random.permutation(len(sizes))
    order = order[np.lexsort(sizes[order].T[::-1])]  # by the first side, then by the next
    borders = np.flatnonzero(np.any(np.diff(sizes[order], axis=0), axis=1)) + 1
    batches: list[list[int]] = []
    rest: list[int] = []
    for alike in np.split(order, borders):  # all of one shape
        fit = max(most // int(sizes[alike[0]].sum()), 1) if len(alike) else 1
        whole = len(alike) - len(alike) % fit
        batches += [alike[start : start + fit].tolist() for start in range(0, whole, fit)]
        rest += alike[whole:].tolist()
    batches += _fill(rest, sizes, most)
    return [batches[i] for i in random.permutation(len(batches))]


def alike(lengths: Ints, *, most: int, tokens: int | None = None) -> Iterator[list[int]]:
    """Divide texts by length, the shortest first, into batches of at most `most` texts.

    Args:
        lengths: Of each text.
        most: Texts in a batch.
        tokens: Tokens in a batch, padding included; a longer text is a batch of its own. `None`
            means no limit.

    Returns:
        Row numbers of `lengths`, each exactly once.
    """
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        full = tokens is not None and (len(batch) + 1) * int(lengths[row]) > tokens
        if batch and (full or len(batch) == most):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def rounded(lengths: Ints) -> Ints:
    """Return the lengths that texts are padded to."""
    return -(-lengths // MULTIPLE) * MULTIPLE


def _fill(rows: Iterable[int], sizes: Ints, limit: int) -> list[list[int]]:
    """Put neighbours together until a batch is full."""
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = np.zeros_like(sizes[0]) if len(sizes) else np.zeros(0, np.int64)
    for row in rows:
        grown = np.maximum(longest, sizes[row])
        if batch and (len(batch) + 1) * int(grown.sum()) > limit:
            batches.append(batch)
            batch, grown = [], sizes[row]
        batch.append(row)
        longest = grown
    return [*batches, batch] if batch else batches
