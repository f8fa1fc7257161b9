"""Which words of reviews a rating looked at, and how much of that lies on those that count."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from heedful.tasks.base import device_of
from heedful.tasks.rate_product.products import Product

if TYPE_CHECKING:
    from torch import nn

    from heedful.tasks.rate_product.task import RateProduct

AT_ONCE = 64  # products


class Piece(NamedTuple):
    """A token of a review as it was typed.

    Args:
        text: It.
        review: The number of its review.
        start: Where it begins there.
        end: Where it ends.
        weight: Its share of the attention within its review, times that of the review.
    """

    text: str
    review: int
    start: int
    end: int
    weight: float


def weighted_pieces(
    task: "RateProduct", model: "nn.Module", examples: Sequence[Product]
) -> list[list[Piece]] | None:
    """Return the pieces of all reviews of each product; `None` where nothing is attended to.

    Args:
        task: Knows how to read reviews.
        model: Of the task.
        examples: Products.
    """
    from heedful.nn.pooling import AttentionPooling

    parts: Any = model
    if not all(isinstance(each, AttentionPooling) for each in (parts.words, parts.texts)):
        return None
    found: list[list[Piece]] = []
    for start in range(0, len(examples), AT_ONCE):
        found += _pieces(task, model, examples[start : start + AT_ONCE])
    return found


def attention_on_evidence(
    task: "RateProduct", model: "nn.Module", examples: Sequence[Product]
) -> tuple[float, float] | None:
    """Return the share of attention on words that are known to count, and their share of words.

    Both are means over products. `None` where nothing is attended to.

    Args:
        task: Knows how to read reviews.
        model: Of the task.
        examples: Products whose `evidence` is known.
    """
    found = weighted_pieces(task, model, examples)
    if found is None:
        return None
    shares: list[tuple[float, float]] = []
    for example, pieces in zip(examples, found, strict=True):
        right = [piece for piece in pieces if _counts(piece, example)]
        total = sum(piece.weight for piece in pieces)
        shares.append((sum(p.weight for p in right) / total, len(right) / len(pieces)))
    return tuple(sum(column) / len(shares) for column in zip(*shares, strict=True))  # type: ignore[return-value]


def _pieces(
    task: "RateProduct", model: "nn.Module", examples: Sequence[Product]
) -> list[list[Piece]]:
    import torch

    from heedful.probing.probe import probe

    data = task.encode(examples)
    batch = data.batch(range(len(data)), device_of(model))
    with torch.inference_mode(), probe(model, sites=["words", "texts"]) as heard:
        model(batch.tokens, batch.ngrams, batch.lengths, batch.counts)
    words = heard.maps("words")[:, :, 0].mean(1).tolist()
    texts = heard.maps("texts")[:, :, 0].mean(1).tolist()
    found: list[list[Piece]] = []
    for row, example in enumerate(examples):
        pieces: list[Piece] = []
        for number in range(int(data.counts[row])):
            place, part = 0, int(data.starts[row]) + number
            # the markers of beginning and end are no pieces, nor is what was cut off
            typed = task.vocabulary.pieces(task.typed(example.reviews[number]))[1:-1]
            for column, text in enumerate(typed[: int(data.reviews.lengths[part]) - 2], start=1):
                weight = texts[row][number] * words[part][column]
                pieces.append(Piece(text, number, place, place + len(text), weight))
                place += len(text)
        found.append(pieces)
    return found


def _counts(piece: Piece, example: Product) -> bool:
    """Does a piece hold any of the words that count?"""
    return any(
        piece.review == review and piece.start < end and start < piece.end
        for review, start, end in example.evidence
    )
