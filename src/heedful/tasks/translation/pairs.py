"""Source and target texts as tokens, and the vocabularies that make them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from heedful.data.batches import MULTIPLE, rounded
from heedful.data.examples import Example
from heedful.data.ragged import Ints, Ragged
from heedful.data.tokens import BOS, EOS, PAD, Vocabulary, train_tokenizer
from heedful.tasks.translation.config import Tokens


@dataclass(frozen=True)
class Pairs:
    """Source and target texts as tokens, and the examples they came from."""

    source: Ragged
    target: Ragged
    examples: list[Example]

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def lengths(self) -> Ints:
        """Source and target tokens of each pair, a row each."""
        return np.stack([self.source.lengths, self.target.lengths], axis=1)

    @property
    def sizes(self) -> Ints:
        """What each side takes in a batch."""
        return rounded(self.lengths)

    @property
    def amounts(self) -> Ints:
        """Tokens read and predicted; the first token of a target is given."""
        return self.lengths.sum(1) - 1

    def fingerprint(self) -> list[int]:
        """Return one number for each side."""
        return [self.source.fingerprint(), self.target.fingerprint()]

    def cut(self, longest: int | None) -> "Pairs":
        """Return the pairs with texts of at most `longest` tokens, for models that know no more."""
        return replace(self, source=self.source.cut(longest), target=self.target.cut(longest))

    def batch(
        self,
        rows: Sequence[int],
        device: torch.device | str,
        *,
        random: np.random.Generator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return padded source, source lengths and padded target; nothing is augmented."""
        source, lengths = self.source.padded(rows, pad=PAD, multiple=MULTIPLE)
        target, _ = self.target.padded(rows, pad=PAD, multiple=MULTIPLE)
        placed = [torch.from_numpy(array).to(device) for array in (source, lengths, target)]
        return placed[0], placed[1], placed[2]


@dataclass(frozen=True)
class Vocabularies:
    """How each side becomes tokens."""

    source: Vocabulary
    target: Vocabulary


def train_vocabularies(tokens: Tokens, examples: Sequence[Example]) -> Vocabularies:
    """Learn both vocabularies from the training split."""

    def learn(kind: Any, texts: list[str]) -> Vocabulary:
        return train_tokenizer(
            kind, texts, vocabulary=tokens.vocabulary, min_count=tokens.min_count
        )

    return Vocabularies(
        learn(tokens.source, [example.source for example in examples]),
        learn(tokens.target, [example.target for example in examples]),
    )


class Exchange(NamedTuple):
    """A text and what a model wrote of it, as far as it has positions for them.

    Args:
        read: Tokens of the text, with the markers of beginning and end.
        read_pieces: The text of each of them, as it was typed.
        said: What it wrote, behind the token that it began with.
        said_pieces: The text of each token that it wrote.
    """

    read: list[int]
    read_pieces: list[str]
    said: list[int]
    said_pieces: list[str]


def exchange(
    vocabularies: Vocabularies, text: str, written: Sequence[int], *, longest: int | None
) -> Exchange:
    """Return a text and what was written of it, token by token, both cut alike.

    Args:
        vocabularies: Of both sides.
        text: What was read.
        written: The tokens that were written. Their text may be cut otherwise: one that is unknown
            reads `<unk>`.
        longest: As many positions as the model has; `None` means any number.
    """
    read, said = (
        Ragged.pack([row]).cut(longest).flat.tolist()
        for row in (vocabularies.source.encode([text])[0], [BOS, *written, EOS])
    )
    pieces = vocabularies.source.pieces(text)
    return Exchange(
        read=read,
        read_pieces=[*pieces[: len(read) - 1], pieces[-1]],
        said=said[:-1],
        said_pieces=vocabularies.target.spelled(said[1:-1]),
    )


def encode(
    examples: Sequence[Example], vocabularies: Vocabularies, *, max_length: int | None = None
) -> tuple[Pairs, int]:
    """Return the examples as tokens, and how many were too long. `None` keeps all."""
    source = vocabularies.source.encode([example.source for example in examples])
    target = vocabularies.target.encode([example.target for example in examples])
    limit = sys.maxsize if max_length is None else max_length + 2  # <s> and </s>
    rows = [
        row
        for row in range(len(examples))
        if len(source[row]) <= limit and len(target[row]) <= limit
    ]
    pairs = Pairs(
        Ragged.pack([source[row] for row in rows]),
        Ragged.pack([target[row] for row in rows]),
        [examples[row] for row in rows],
    )
    return pairs, len(examples) - len(rows)
