"""Translation: text in one language in, text in another out."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heedful.config import Config, Decode, RnnModel, TransformerModel
from heedful.data.alignment import Alignment
from heedful.data.batches import MULTIPLE, alike
from heedful.data.examples import Example, Splits
from heedful.data.ragged import Ints, Ragged
from heedful.data.tokens import BOS, EOS, PAD, UNKNOWN, Vocabulary, train_tokenizer
from heedful.errors import ConfigError, DataError
from heedful.models import Limits, RnnSeq2Seq, Transformer, beam, greedy

Network = Transformer | RnnSeq2Seq


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

    def cut(self, longest: int | None) -> "Pairs":
        """Return the pairs with texts of at most `longest` tokens, for models that know no more."""
        return replace(self, source=self.source.cut(longest), target=self.target.cut(longest))

    def batch(
        self, rows: Sequence[int], device: torch.device | str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return padded source, source lengths and padded target."""
        source, lengths = self.source.padded(rows, pad=PAD, multiple=MULTIPLE)
        target, _ = self.target.padded(rows, pad=PAD, multiple=MULTIPLE)
        placed = [torch.from_numpy(array).to(device) for array in (source, lengths, target)]
        return placed[0], placed[1], placed[2]


@dataclass(frozen=True)
class Vocabularies:
    """How each side becomes tokens."""

    source: Vocabulary
    target: Vocabulary


@dataclass(frozen=True)
class Corpus:
    """All that a training reads.

    Args:
        train: Pairs to learn from, none longer than the limit.
        dev: Pairs whose loss is watched, none longer than the limit.
        held_out: Every example of the `dev` and `test` splits, however long: what is evaluated.
        vocabularies: Of both sides.
        skipped: Pairs left out of `train` and `dev` because they are longer than the limit.
    """

    train: Pairs
    dev: Pairs
    held_out: dict[str, list[Example]]
    vocabularies: Vocabularies
    skipped: int


def train_vocabularies(config: Config, examples: Sequence[Example]) -> Vocabularies:
    """Learn both vocabularies from the training split."""
    tokens = config.tokens

    def learn(kind: Any, texts: list[str]) -> Vocabulary:
        return train_tokenizer(
            kind, texts, vocabulary=tokens.vocabulary, min_count=tokens.min_count
        )

    return Vocabularies(
        learn(tokens.source, [example.source for example in examples]),
        learn(tokens.target, [example.target for example in examples]),
    )


def encode_splits(config: Config, splits: Splits, vocabularies: Vocabularies) -> Corpus:
    """Turn examples into tokens; pairs beyond `data.max_length` are no part of the training.

    Raises:
        DataError: Nothing is left of a split.
    """
    skipped = 0
    kept: list[Pairs] = []
    for name, examples in (("train", splits.train), ("dev", splits.dev)):
        pairs, dropped = encode(examples, vocabularies, max_length=config.data.max_length)
        skipped += dropped
        if not pairs:
            raise DataError(
                f"the {name} split must hold a pair of at most {config.data.max_length} tokens "
                f"a side, got {dropped} longer ones. Raise data.max_length."
            )
        kept.append(pairs)
    held_out = {"dev": splits.dev, "test": splits.test}
    return Corpus(*kept, held_out=held_out, vocabularies=vocabularies, skipped=skipped)


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


def build_model(config: Config, vocabularies: Vocabularies) -> Network:
    """Make the network that the config describes, with fresh weights."""
    sizes = {"source_size": vocabularies.source.size, "target_size": vocabularies.target.size}
    settings = config.model.model_dump(exclude={"name"})
    match config.model:
        case TransformerModel():
            longest = max(config.data.max_length, config.decode.max_length) + 2
            return Transformer(**sizes, **settings, max_length=longest)
        case RnnModel():
            return RnnSeq2Seq(**sizes, **settings)


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A text written by a model, and what should be said about it.

    Args:
        text: The translation.
        tokens: Of the source.
        unknown: Tokens of the source that the vocabulary does not hold.
        unread: Tokens of the source left out, because the model has no positions for them.
        too_long: The source is longer than any the model was trained with.
        cut: The search reached `decode.max_length`, so the end is missing.
    """

    text: str
    tokens: int
    unknown: int
    unread: int
    too_long: bool
    cut: bool


class Translator:
    """A trained network with the tokenisers it was trained with.

    Args:
        model: Put into evaluation mode.
        vocabularies: Of the training.
        decode: How translations are searched unless a call says otherwise.
        longest: Source tokens of the longest text in training; `None` means not known.
    """

    def __init__(
        self,
        model: Network,
        vocabularies: Vocabularies,
        decode: Decode,
        *,
        longest: int | None = None,
    ) -> None:
        self.model, self.vocabularies, self.decode = model.eval(), vocabularies, decode
        self.longest = longest

    def translate(self, texts: Sequence[str], *, beam: int | None = None) -> list[str]:
        """Return the translations alone; `outcomes` also says which were cut."""
        return [outcome.text for outcome in self.outcomes(texts, beam=beam)]

    def outcomes(self, texts: Sequence[str], *, beam: int | None = None) -> list[Translation]:
        """Translate texts, in batches of similar length.

        Args:
            texts: One translation comes back for each.
            beam: Beginnings kept in the search; `None` means as configured.

        Raises:
            DataError: A text is empty, or a single text is given in place of a list.
        """
        if isinstance(texts, str):
            raise DataError(f"texts must be a list of texts, got the single text {texts!r}")
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise DataError(f"text {number} must hold a word to translate, got {text!r}")
        rows = self.vocabularies.source.encode(texts)
        written = self.write(Ragged.pack(rows), beam=beam)
        answers = self.vocabularies.target.decode(written)
        return [self._told(*each) for each in zip(rows, written, answers, strict=True)]

    def write(self, source: Ragged, *, beam: int | None = None) -> list[list[int]]:
        """Return the target tokens for each source text.

        Of a text for which the model has too few positions it reads the beginning.
        """
        source = source.cut(self.model.longest)
        written: list[list[int]] = [[] for _ in range(len(source))]
        for rows in self.batches(source.lengths):
            for row, tokens in zip(rows, self._search(source, rows, beam), strict=True):
                written[row] = tokens
        return written

    def batches(self, lengths: Ints) -> Iterator[list[int]]:
        """Divide texts into batches, smaller ones where texts are longer than in training."""
        size = self.decode.batch
        tokens = None if self.longest is None else size * (self.longest + 2)
        return alike(lengths, most=size, tokens=tokens)

    def align(self, text: str, translation: str | None = None) -> Alignment:
        """Return where each piece of the translation looked.

        Args:
            text: What is translated.
            translation: Whose pieces look; `None` means the model's own.

        Raises:
            ConfigError: The model has no attention.
            DataError: The text is empty.
        """
        if isinstance(self.model, RnnSeq2Seq) and self.model.aligner is None:
            raise ConfigError("the model must have attention to show it, got attention = none")
        translation = self.translate([text])[0] if translation is None else translation
        source, target = (
            Ragged.pack(side.encode([given])).cut(self.model.longest).flat.tolist()
            for side, given in (
                (self.vocabularies.source, text),
                (self.vocabularies.target, translation),
            )
        )
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            weights = self.model.alignment(
                torch.tensor([source], device=device),
                torch.tensor([len(source)], device=device),
                torch.tensor([target[:-1]], device=device),
            )[0]
        # row t is the step that wrote token t + 1; markers of beginning and end are not shown
        shown = weights[:-1, 1:-1].float()
        shown = shown / shown.sum(-1, keepdim=True).clamp(min=torch.finfo(shown.dtype).tiny)
        return Alignment(
            source=tuple(self.vocabularies.source.pieces(text)[1 : len(source) - 1]),
            target=tuple(self.vocabularies.target.pieces(translation)[1 : len(target) - 1]),
            weights=tuple(tuple(row) for row in shown.tolist()),
            title=f"{text} → {translation}",
        )

    def _told(self, source: Sequence[int], written: Sequence[int], text: str) -> Translation:
        tokens = len(source) - 2  # without <s> and </s>
        readable = self.model.longest
        return Translation(
            text=text,
            tokens=tokens,
            unknown=source.count(UNKNOWN),
            unread=0 if readable is None else max(len(source) - readable, 0),
            too_long=self.longest is not None and tokens > self.longest,
            cut=len(written) >= self.decode.max_length,
        )

    def _search(self, source: Ragged, rows: Sequence[int], width: int | None) -> list[list[int]]:
        device = next(self.model.parameters()).device
        tokens, lengths = (
            torch.from_numpy(array).to(device) for array in source.padded(rows, pad=PAD)
        )
        limits = Limits(bos=BOS, eos=EOS, max_length=self.decode.max_length)
        width = self.decode.beam if width is None else width
        if width == 1:
            return greedy(self.model, tokens, lengths, limits=limits)
        penalty = self.decode.length_penalty
        return beam(self.model, tokens, lengths, width=width, length_penalty=penalty, limits=limits)


def loss_tokens(target: Tensor) -> int:
    """Return how many tokens of a padded target batch are predicted."""
    return int((target[:, 1:] != PAD).sum())
