"""Products with their reviews: read from tables or made, and made ready for batches."""

import math
import warnings
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heedful.data.batches import MULTIPLE, rounded
from heedful.data.columns import read_columns
from heedful.data.examples import Splits
from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ints, Ragged
from heedful.data.reviews import Made, review_corpus
from heedful.data.sentences import sentences
from heedful.data.tokens import PAD
from heedful.errors import DataError, DataWarning
from heedful.tasks.rate_product.config import PhoneData, TableData

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Product:
    """What is said of a product, and what it is worth.

    Args:
        reviews: Texts: its reviews, or the sentences of the only one.
        label: Its class; empty where nobody knows it.
        score: Its rating; `None` where nobody knows it.
        name: What the table calls it.
        evidence: Review, start and end of the words that are known to count.
    """

    reviews: tuple[str, ...]
    label: str = ""
    score: float | None = None
    name: str = ""
    evidence: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Batch:
    """Padded reviews, one after the other; what nobody knows is -100 or not a number."""

    tokens: "Tensor"
    ngrams: "Tensor"
    lengths: "Tensor"
    counts: "Tensor"  # reviews of each product
    labels: "Tensor"
    scores: "Tensor"


class Products:
    """Products made ready.

    Args:
        reviews: Tokens of all reviews, those of a product one after the other.
        counts: How many reviews each product has.
        ngrams: Those that are known.
        labels: The number of each class, -100 where nobody knows it.
        scores: Not a number where nobody knows it.
        longest: Tokens that are read of a review.
    """

    def __init__(
        self,
        reviews: Ragged,
        counts: Ints,
        ngrams: Ngrams,
        labels: Ints,
        scores: NDArray[np.float32],
        *,
        longest: int,
    ) -> None:
        self.cut = int((reviews.lengths > longest).sum())
        self.reviews, self.counts = reviews.cut(longest), counts
        self.ngrams, self.labels, self.scores = ngrams.numbers(self.reviews), labels, scores
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        longest_of = np.maximum.reduceat(self.reviews.lengths, self.starts[:-1]) if len(self) else 0
        self.sizes = (counts * rounded(np.asarray(longest_of, np.int64)))[:, None]
        self.amounts = np.ones_like(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, rows: Sequence[int], device: "torch.device | str", *, random: object = None
    ) -> Batch:
        """Return these products as tensors."""
        import torch

        parts = [part for row in rows for part in range(self.starts[row], self.starts[row + 1])]
        tokens, lengths = self.reviews.padded(parts, pad=PAD, multiple=MULTIPLE)
        ngrams = np.zeros((*tokens.shape, self.ngrams.shape[1]), np.int64)
        inside, starts = np.arange(tokens.shape[1]) < lengths[:, None], self.reviews.starts
        ngrams[inside] = np.concatenate([self.ngrams[starts[p] : starts[p + 1]] for p in parts])
        here = np.fromiter(rows, np.int64)
        columns = (self.counts[here], self.labels[here], self.scores[here])
        arrays = (tokens, ngrams, lengths, *columns)
        return Batch(*(torch.from_numpy(array).to(device) for array in arrays))

    def fingerprint(self) -> list[int]:
        """Return numbers of which one changes when any review or rating does."""
        rest = [self.counts.tolist(), self.labels.tolist()]
        scores = np.nan_to_num(self.scores, nan=-1e9).view(np.int32).tolist()
        return [self.reviews.fingerprint(), Ragged.pack([*rest, scores]).fingerprint()]


def read_splits(data: PhoneData | TableData, seed: int) -> Splits[Product]:
    """Read or make the products.

    Raises:
        ConfigError: The built-in ones cannot be made as asked.
        DataError: A file cannot be used, or holds a class that the training split does not.
    """
    if isinstance(data, PhoneData):
        sizes = data.model_dump(exclude={"name", "languages"})
        made = review_corpus(data.languages, **sizes, seed=seed)
        parts = (made.train, made.dev, made.test)
        return Splits(*([of_made(each) for each in part] for part in parts))
    train = read_table(data, data.train)
    known = {product.label for product in train}
    seen, held = _names(train), list[list[Product]]()
    for path in (data.dev, data.test):
        held.append(read_table(data, path, known=known) if path else [])
        names = _names(held[-1])
        if again := len(names & seen):
            text = f"products that an earlier split has too: {again:,} of {len(names):,}"
            warnings.warn(f"{path}: {text}", DataWarning, stacklevel=2)
        seen |= names
    return Splits(train, *held)


def _names(products: Sequence[Product]) -> set[str]:
    return {product.name for product in products} - {""}


def read_table(
    data: TableData, path: Path | str, *, known: Container[str] | None = None
) -> list[Product]:
    """Read one file of reviews and ratings; the rating of a product is the mean of its rows.

    Args:
        data: Says which columns these are.
        path: Of the file.
        known: All classes that there may be; `None` means any.

    Raises:
        DataError: The file cannot be used, a rating is neither a number nor a word of `ranks`, or
            a class is another one.
    """
    columns = [data.review, data.rating, *([data.product] if data.product else [])]
    grouped: dict[str, list[tuple[int, str, float]]] = {}
    for number, (review, rating, *product) in read_columns(path, columns):
        name = product[0].strip() if product else f"{number}"
        score = _rating(data, rating.strip(), f"{path}:{number}")
        grouped.setdefault(name, []).append((number, review, score))
    products: list[Product] = []
    for name, rows in grouped.items():
        score = math.fsum(score for _, _, score in rows) / len(rows)
        label = label_of(data, score)
        if known is not None and label not in known:
            raise DataError(
                f"{path}:{rows[-1][0]} must be of a class of the training split, got {label!r:.80}"
            )
        texts = tuple(review for _, review, _ in rows)
        reviews = texts if data.product else tuple(sentences(texts[0]))
        products.append(Product(reviews, label, score, name if data.product else ""))
    return products


def label_of(data: TableData, score: float) -> str:
    """Return the class of a rating: the nearest whole step, the higher one of two."""
    step = math.floor(score / data.step + 0.5)
    return data.ranks[step] if data.ranks else f"{step * data.step:g}"


def _rating(data: TableData, rating: str, place: str) -> float:
    if data.ranks:
        if rating not in data.ranks:
            known = ", ".join(data.ranks)
            raise DataError(f"{place} must have a rating of {known:.200}, got {rating!r:.80}")
        return float(data.ranks.index(rating))
    try:
        score = float(rating)
    except ValueError:
        raise DataError(
            f"{place} must have a number as its rating, got {rating!r:.80}. "
            "Words are ranked by data.ranks."
        ) from None
    if not abs(score) <= 1e6:  # nor is it one where it is not a number
        raise DataError(f"{place} must have a rating between -1e6 and 1e6, got {rating}")
    return score


def of_made(made: Made) -> Product:
    """Return a made product as an example."""
    label = f"{math.floor(made.score + 0.5)}"
    return Product(made.reviews, label, made.score, evidence=made.evidence)
