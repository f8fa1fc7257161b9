"""Texts and summaries as tokens, where words beyond the vocabulary keep a number of their own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from heedful.data.batches import MULTIPLE, rounded
from heedful.data.columns import read_columns
from heedful.data.examples import Example, Splits
from heedful.data.ragged import Ints, Ragged
from heedful.data.scripts import composed
from heedful.data.tokens import PAD, UNKNOWN, Vocabulary
from heedful.errors import DataError
from heedful.tasks.summarise.config import DocstringData, TableData

if TYPE_CHECKING:
    import torch
    from torch import Tensor


LONGEST = 4_000  # tokens of a summary: memory grows with their square


class Pairs:
    """Texts and summaries made ready.

    Args:
        source: Tokens that are read. Those from the size of the vocabulary on are words that it
            does not hold.
        target: Tokens that should be written, numbered likewise.
        words: Of each text, those that the vocabulary does not hold, in the order of their numbers.
        cut: Texts that are longer than is read of them.
    """

    def __init__(
        self, source: Ragged, target: Ragged, words: list[list[str]], *, cut: int = 0
    ) -> None:
        self.source, self.target, self.words, self.cut = source, target, words, cut
        lengths = np.stack([source.lengths, target.lengths], axis=1)
        self.sizes: Ints = rounded(lengths)
        self.amounts: Ints = lengths.sum(1) - 1

    def __len__(self) -> int:
        return len(self.words)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "tuple[Tensor, Tensor, Tensor]":
        """Return padded source, source lengths and padded target; nothing is augmented."""
        import torch

        source, lengths = self.source.padded(rows, pad=PAD, multiple=MULTIPLE)
        target, _ = self.target.padded(rows, pad=PAD, multiple=MULTIPLE)
        placed = [torch.from_numpy(array).to(device) for array in (source, lengths, target)]
        return placed[0], placed[1], placed[2]

    def fingerprint(self) -> list[int]:
        """Return one number for each side."""
        return [self.source.fingerprint(), self.target.fingerprint()]


def encode(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    *,
    lowercase: bool,
    longest: int,
    copying: bool,
) -> Pairs:
    """Turn texts and summaries into tokens.

    Args:
        examples: Of texts and summaries.
        vocabulary: Of both sides.
        lowercase: Are capital letters read and written as small ones?
        longest: Tokens that are read of a text.
        copying: Do words beyond the vocabulary get numbers? Else they are all unknown.

    Raises:
        DataError: A summary is longer than `LONGEST`.
    """
    sides = [[as_read(getattr(x, side), lowercase) for x in examples] for side in SIDES]
    sources, targets = (vocabulary.encode(texts) for texts in sides)
    for text, row in zip(sides[1], targets, strict=True):
        if len(row) > LONGEST + 2:
            raise DataError(
                f"a summary must have at most {LONGEST:,} tokens, got {len(row) - 2:,}: "
                f"{text.strip()!r:.60}"
            )
    read = [[*row[: longest + 1], row[-1]] if len(row) > longest + 2 else row for row in sources]
    words: list[list[str]] = [[] for _ in examples]
    if copying:
        for row, own in enumerate(words):
            numbers: dict[str, int] = {}
            read[row] = _numbered(vocabulary, sides[0][row], read[row], numbers, new=True)
            targets[row] = _numbered(vocabulary, sides[1][row], targets[row], numbers, new=False)
            own += numbers
    cut = sum(len(row) > longest + 2 for row in sources)
    return Pairs(Ragged.pack(read), Ragged.pack(targets), words, cut=cut)


SIDES = ("source", "target")


def as_read(text: str, lowercase: bool) -> str:
    """Return a text as the vocabulary reads it: its first word looks like all others."""
    text = composed(text.strip())
    return " " + (composed(text.lower()) if lowercase else text)


def spelled(vocabulary: Vocabulary, tokens: Sequence[int], words: Sequence[str]) -> list[str]:
    """Return the text of each token, of which some are words of the text that was read."""
    size = vocabulary.size
    return [
        words[token - size] if token >= size else vocabulary.spelled([token])[0] for token in tokens
    ]


def written(vocabulary: Vocabulary, tokens: Sequence[int], words: Sequence[str]) -> str:
    """Return the text of tokens, of which some are words of the text that was read."""
    size = vocabulary.size
    known = vocabulary.decode([[token] if token < size else [] for token in tokens])
    pieces = [
        words[token - size] if token >= size else piece
        for token, piece in zip(tokens, known, strict=True)
    ]
    return "".join(pieces).strip()


def read_splits(data: DocstringData | TableData, seed: int) -> Splits[Example]:
    """Read or make texts and their summaries.

    Raises:
        ConfigError: The running Python has no sources.
        DataError: A file cannot be used.
    """
    if isinstance(data, DocstringData):
        from heedful.data.docstrings import docstrings

        return docstrings(dev=data.dev_share, test=data.test_share, seed=seed)
    parts = (read_table(data, path) if path else [] for path in (data.train, data.dev, data.test))
    return Splits(*parts)


def read_table(data: TableData, path: str) -> list[Example]:
    """Read one file of texts and summaries.

    Raises:
        DataError: The file cannot be used.
    """
    found = read_columns(path, (data.text, data.summary))
    return [Example(text.strip(), summary.strip()) for _, (text, summary) in found]


def _numbered(
    vocabulary: Vocabulary, text: str, tokens: list[int], numbers: dict[str, int], *, new: bool
) -> list[int]:
    """Tokens in which unknown words have numbers; new ones get the next, or stay unknown."""
    if UNKNOWN not in tokens:
        return tokens
    found: list[int] = []
    for token, piece in zip(tokens, vocabulary.pieces(text), strict=False):
        if token == UNKNOWN and new:
            token = numbers.setdefault(piece, vocabulary.size + len(numbers))
        elif token == UNKNOWN:
            token = numbers.get(piece, UNKNOWN)
        found.append(token)
    return found
