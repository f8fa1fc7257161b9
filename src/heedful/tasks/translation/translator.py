"""How a trained translator reads and writes: pairs as tokens, batches, search, alignment."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from heedful.data.alignment import Alignment
from heedful.data.batches import alike
from heedful.data.blank import is_blank
from heedful.data.ragged import Ints, Ragged
from heedful.data.tokens import BOS, EOS, PAD, UNKNOWN, Vocabulary
from heedful.errors import ConfigError, DataError
from heedful.models import Limits, RnnSeq2Seq, Transformer, beam, greedy
from heedful.tasks.remarks import never_seen, shortened, unknown_pieces
from heedful.tasks.translation.config import Decode
from heedful.tasks.translation.pairs import Vocabularies, exchange

Network = Transformer | RnnSeq2Seq


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A text written by a model, and what should be said about it.

    Args:
        text: The translation.
        written: Tokens of the translation.
        tokens: Of the source.
        unknown: Tokens of the source that the vocabulary does not hold.
        unread: Tokens of the source left out, because the model has no positions for them.
        too_long: The source is longer than any the model was trained with.
        cut: The search reached `decode.max_length`, so the end is missing.
    """

    text: str
    written: tuple[int, ...]
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

    def outcomes(self, texts: Sequence[str], *, beam: int | None = None) -> list[Translated]:
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
            if is_blank(text):
                raise DataError(f"text {number} must hold a word to translate, got {text!r}")
        return self.answer(Ragged.pack(self.vocabularies.source.encode(texts)), beam=beam)

    def answer(self, source: Ragged, *, beam: int | None = None) -> list[Translated]:
        """Translate texts that are tokens already; see `outcomes`."""
        written = self.write(source, beam=beam)
        texts = self.vocabularies.target.decode(written)
        rows = [source.flat[a:b].tolist() for a, b in itertools.pairwise(source.starts)]
        return [self._told(*each) for each in zip(rows, written, texts, strict=True)]

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

    def align(self, text: str, written: Sequence[int] | None = None) -> Alignment:
        """Return where each piece of the translation looked.

        Args:
            text: What is translated.
            written: The tokens that look; `None` means those of the model's own translation.

        Raises:
            ConfigError: The model has no attention.
            DataError: The text is empty.
        """
        if isinstance(self.model, RnnSeq2Seq) and self.model.aligner is None:
            raise ConfigError("the model must have attention to show it, got attention = none")
        written = self.outcomes([text])[0].written if written is None else written
        both = exchange(self.vocabularies, text, written, longest=self.model.longest)
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            weights = self.model.alignment(
                torch.tensor([both.read], device=device),
                torch.tensor([len(both.read)], device=device),
                torch.tensor([both.said], device=device),
            )[0]
        # row t is the step that wrote token t + 1; markers of beginning and end are not shown
        shown = weights[:-1, 1:-1].float()
        shown = shown / shown.sum(-1, keepdim=True).clamp(min=torch.finfo(shown.dtype).tiny)
        return Alignment(
            source=tuple(both.read_pieces[1:-1]),
            target=tuple(both.said_pieces),
            weights=tuple(tuple(row) for row in shown.tolist()),
            title=f"{text} → {''.join(both.said_pieces)}",
        )

    def _told(self, source: Sequence[int], written: Sequence[int], text: str) -> Translated:
        tokens = len(source) - 2  # without <s> and </s>
        readable = self.model.longest
        return Translated(
            text=text,
            written=tuple(written),
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


def remarks_on(
    translated: Translated, source: str, *, vocabulary: Vocabulary, decode: Decode, longest: int
) -> list[str]:
    """Say in words what is wrong with a translation."""
    shown = shortened(source)
    said: list[str] = []
    if translated.unknown:
        pieces = unknown_pieces(vocabulary, source)
        nothing = (
            ""
            if translated.tokens > translated.unknown
            else (" and nothing else, so its translation means nothing")
        )
        said += never_seen(f'"{shown}"', pieces, nothing)
    if translated.unread:
        said.append(
            f'the last {translated.unread} tokens of "{shown}" are not read: the model has '
            "positions for no more"
        )
    if translated.too_long:
        said.append(
            f'"{shown}" has {translated.tokens} tokens, more than the {longest} that this model '
            "was trained with"
        )
    if translated.cut:
        limit = decode.max_length
        said.append(f'the translation of "{shown}" is cut at {limit} tokens (decode.max_length)')
    return said
