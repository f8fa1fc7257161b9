"""Labelled texts: read from tables or made, and made ready for batches."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.data.batches import MULTIPLE, rounded
from heedful.data.columns import read_columns
from heedful.data.examples import Splits, check_label
from heedful.data.languages import language_corpus
from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ints, Ragged
from heedful.data.tokens import PAD
from heedful.tasks.classify_text.config import LanguageData, TableData

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Labelled:
    """A text and its label, which is empty where nobody knows it."""

    text: str
    label: str = ""


@dataclass(frozen=True)
class Batch:
    """Padded texts; a label that nobody knows is -100."""

    tokens: "Tensor"
    ngrams: "Tensor"
    lengths: "Tensor"
    labels: "Tensor"


class Texts:
    """Texts made ready.

    Args:
        tokens: Of each text.
        ngrams: Those that are known.
        labels: The number of each text's label, -100 where nobody knows it.
        longest: Tokens that are read of a text.
    """

    def __init__(
        self, tokens: Ragged, ngrams: Ngrams, labels: Ints, *, longest: int | None = None
    ) -> None:
        self.cut = 0 if longest is None else int((tokens.lengths > longest).sum())
        self.tokens = tokens = tokens.cut(longest)
        self.ngrams, self.labels = ngrams.numbers(tokens), labels
        self.sizes, self.amounts = rounded(tokens.lengths)[:, None], np.ones_like(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, rows: Sequence[int], device: "torch.device | str", *, random: Any = None
    ) -> Batch:
        """Return these texts as tensors."""
        import torch

        tokens, lengths = self.tokens.padded(rows, pad=PAD, multiple=MULTIPLE)
        ngrams = np.zeros((*tokens.shape, self.ngrams.shape[1]), np.int64)
        starts = self.tokens.starts
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        ngrams[inside] = np.concatenate([self.ngrams[starts[r] : starts[r + 1]] for r in rows])
        arrays = (tokens, ngrams, lengths, self.labels[list(rows)])
        return Batch(*(torch.from_numpy(array).to(device) for array in arrays))

    def fingerprint(self) -> list[int]:
        """Return numbers of which one changes when any text or label does."""
        return [self.tokens.fingerprint(), Ragged.pack([self.labels.tolist()]).fingerprint()]


def read_splits(data: LanguageData | TableData, seed: int) -> Splits[Labelled]:
    """Read or make the texts.

    Raises:
        ConfigError: The built-in texts cannot be made as asked.
        DataError: A file cannot be used, or holds a label that the training split does not.
    """
    if isinstance(data, LanguageData):
        made = language_corpus(
            data.languages, examples=data.examples, dev=data.dev, test=data.test, seed=seed
        )
        parts = (made.train, made.dev, made.test)
        return Splits(*([Labelled(*pair) for pair in part] for part in parts))
    train = read_table(data, data.train)
    known = {example.label for example in train}
    dev, test = (
        read_table(data, path, known=known) if path else [] for path in (data.dev, data.test)
    )
    return Splits(train, dev, test)


def read_table(
    data: TableData, path: Path | str, *, known: Container[str] | None = None
) -> list[Labelled]:
    """Read one file of texts and labels.

    Args:
        data: Says which columns these are.
        path: Of the file.
        known: All labels that there may be; `None` means any.

    Raises:
        DataError: The file cannot be used, or holds another label.
    """
    examples: list[Labelled] = []
    for number, (text, label) in read_columns(path, (data.text, data.label)):
        label = label.strip()
        check_label(f"{path}:{number}", label, known)
        examples.append(Labelled(text, label))
    return examples
