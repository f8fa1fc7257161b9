"""Histories of users and what comes next: made or read, and made ready for batches."""

import itertools
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heedful.data.batches import MULTIPLE, rounded
from heedful.data.examples import Splits
from heedful.data.interactions import Interactions, read_interactions
from heedful.data.ragged import Ints, Ragged
from heedful.errors import DataError, DataWarning
from heedful.metrics.rows import UNKNOWN
from heedful.tasks.recommend.config import PlantedData, TableData
from heedful.tasks.recommend.planted import follows, planted_users

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PAD, NEW, SPECIAL = 0, 1, 2  # padding, an item that training never met, the first that it did
SHARE = 0.1  # of a user's items, for dev and for test each, where a split is random


@dataclass(frozen=True)
class History:
    """What a user has had, and what it has next.

    Args:
        items: The oldest first.
        relevant: What comes next, or is held out; empty where nobody knows.
        follows: The place of the item that the relevant one follows from; -1 where nobody knows.
    """

    items: tuple[str, ...]
    relevant: tuple[str, ...] = ()
    follows: int = -1


@dataclass(frozen=True)
class Batch:
    """Padded histories.

    Args:
        items: Their numbers.
        lengths: Of each history.
        targets: The column of logits that is right after each place; -100 where nobody knows.
        truth: That after the last place.
        others: Columns that were not clicked, `(batch, negatives, length)`; may be none.
    """

    items: "Tensor"
    lengths: "Tensor"
    targets: "Tensor"
    truth: "Tensor"
    others: "Tensor"


class Histories:
    """Histories made ready.

    Args:
        examples: What they are of.
        items: The number of each item that training met.
        longest: Items that are read of a history: the last ones.
        negatives: Items drawn for each one, of those that the user never had.
        shuffled: Does the order mean nothing, so that each epoch has another one?
    """

    def __init__(
        self,
        examples: Sequence[History],
        items: Mapping[str, int],
        *,
        longest: int,
        negatives: int = 0,
        shuffled: bool = False,
    ) -> None:
        self.examples, self.known, self.longest = examples, len(items), longest
        self.negatives, self.shuffled = negatives, shuffled
        # a history and the item behind it, which is 0 where nobody knows it
        self.texts = Ragged.pack(
            [
                [
                    *(items.get(each, NEW) for each in example.items),
                    items.get(example.relevant[0], NEW) if example.relevant else PAD,
                ]
                for example in examples
            ]
        )
        lengths = self.texts.lengths - 1
        self.cut = int((lengths > longest).sum())
        self.sizes: Ints = rounded(np.minimum(lengths, longest))[:, None]
        self.amounts: Ints = np.minimum(lengths, longest)
        self.new = sum(each not in items for example in examples for each in example.relevant)

    def __len__(self) -> int:
        return len(self.examples)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> Batch:
        """Return these histories as tensors; shuffled where the order means nothing."""
        import torch

        chosen = [self._text(row, random if self.shuffled else None) for row in rows]
        lengths = np.array([len(text) - 1 for text in chosen])
        width = -(-int(lengths.max(initial=1)) // MULTIPLE) * MULTIPLE
        items = np.zeros((len(rows), width), np.int64)
        targets = np.full((len(rows), width), UNKNOWN)
        others = np.zeros((len(rows), self.negatives, width), np.int64)
        for row, text in enumerate(chosen):
            items[row, : len(text) - 1] = text[:-1]
            right = text[1:]
            targets[row, : len(right)] = np.where(right >= SPECIAL, right - SPECIAL, UNKNOWN)
            if self.negatives:
                others[row] = self._drawn(text, random, (self.negatives, width))
        truth = targets[np.arange(len(rows)), lengths - 1]
        arrays = (items, lengths, targets, truth, others)
        return Batch(*(torch.from_numpy(array).to(device) for array in arrays))

    def fingerprint(self) -> list[int]:
        """Return a number that changes when any history does."""
        return [self.texts.fingerprint()]

    def seen(self, row: int) -> Ints:
        """Return the columns of logits of the items that a history holds."""
        whole = self._whole(row)[:-1]
        return whole[whole >= SPECIAL] - SPECIAL

    def _whole(self, row: int) -> Ints:
        start, end = self.texts.starts[row : row + 2]
        return self.texts.flat[start:end].astype(np.int64)

    def _text(self, row: int, random: np.random.Generator | None) -> Ints:
        text = self._whole(row)
        if random is not None:
            text = random.permutation(text)
        return text[-self.longest - 1 :]

    def _drawn(self, text: Ints, random: np.random.Generator | None, shape: Any) -> Ints:
        """Items that a history does not hold; always the same ones where nothing is random."""
        draw = np.random.default_rng(zlib.crc32(text.tobytes())) if random is None else random
        free = np.ones(self.known, bool)
        free[text[text >= SPECIAL] - SPECIAL] = False
        left: NDArray[np.int64] = np.flatnonzero(free)
        return draw.choice(left if len(left) else np.arange(self.known), shape)


def read_splits(data: PlantedData | TableData, seed: int) -> Splits[History]:
    """Read or make the histories.

    Raises:
        DataError: The file cannot be used, or no user has as many items as a split needs.
    """
    if isinstance(data, PlantedData):
        users = planted_users(data, seed)
        split = last_items(users)
        return Splits(*([_explained(each) for each in part] for part in _parts(split)))
    found = read_interactions(
        data.file, user=data.user, item=data.item, time=data.time, repeats=data.repeats
    )
    users = list(found.users.values())
    split = last_items(users) if data.split == "last" else random_items(users, seed)
    _check(data.file, split)
    _say(data, found, users, split)
    return split


def last_items(users: Sequence[list[str]]) -> Splits[History]:
    """Hold out the last item of each user for test, and the one before for dev."""
    split = Splits[History]([], [], [])
    for items in users:
        if len(items) < 3:
            _add(split.train, items)
        else:
            _add(split.train, items[:-2])
            _add(split.dev, items[:-1])
            _add(split.test, items)
    return split


def random_items(users: Sequence[list[str]], seed: int) -> Splits[History]:
    """Hold out a tenth of each user's items for test, and a tenth for dev, drawn at random."""
    draw, split = np.random.default_rng(seed), Splits[History]([], [], [])
    for items in users:
        order = draw.permutation(len(items))
        held = int(len(items) * SHARE) or (1 if len(items) > 3 else 0)
        parts = np.split(order, [len(items) - 2 * held, len(items) - held])
        train, dev, test = ([items[place] for place in sorted(part)] for part in parts)
        _add(split.train, train)
        if held:
            both = [items[place] for place in sorted([*parts[0], *parts[1]])]
            split.dev.append(History(tuple(train), tuple(dev)))
            split.test.append(History(tuple(both), tuple(test)))
    return split


def _add(part: list[History], items: list[str]) -> None:
    if len(items) > 1:
        part.append(History(tuple(items[:-1]), (items[-1],)))


def _parts(split: Splits[History]) -> tuple[list[History], ...]:
    return split.train, split.dev, split.test


def _explained(history: History) -> History:
    return History(history.items, history.relevant, follows(history.items, history.relevant[0]))


def _check(path: str, split: Splits[History]) -> None:
    for name, part in zip(("train", "dev", "test"), _parts(split), strict=True):
        if not part:
            raise DataError(
                f"{path} must have users with enough items for the {name} split, got none. "
                "A user needs 4 items to be in all three."
            )


def _say(
    data: TableData, found: Interactions, users: list[list[str]], split: Splits[History]
) -> None:
    """Tell what was left out, and what was put in order."""
    met = set(itertools.chain.from_iterable((*e.items, *e.relevant) for e in split.train))
    new = {each for example in split.test for each in example.relevant} - met
    few, short = (sum(len(items) < least for items in users) for least in (2, 3))
    again = "say again what one above says" if data.repeats else "repeat an item of the same user"
    said = (
        (found.twice, f"rows left out, for they {again}"),
        (found.unsorted, "users whose rows were not in the order of time, and are sorted"),
        (few, "users left out, for from one item alone nothing can be learned"),
        (short - few, "users with too few items to be in dev and test"),
        (len(new), "items of the test split that are new, so that no model can name them"),
    )
    for count, text in said:
        if count:
            warnings.warn(f"{data.file}: {text}: {count:,}", DataWarning, stacklevel=3)
