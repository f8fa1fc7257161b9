"""A text as somebody else's tokenizer cuts it, and copies of it with pieces removed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from heedful.errors import DataError, ShapeError
from heedful.explaining.question import NOWHERE


class Copies(NamedTuple):
    """Copies of a text.

    Args:
        tokens: Their numbers, padding behind.
        there: True = no padding.
    """

    tokens: Int[Tensor, "copies length"]
    there: Bool[Tensor, "copies length"]

    @property
    def lengths(self) -> Int[Tensor, " copies"]:
        """How many tokens each copy has."""
        return self.there.sum(1)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A text for a model that reads numbers of tokens.

    Args:
        numbers: Of its tokens, markers included.
        pieces: What can be removed: its tokens without the markers, or its words.
        places: For each token the number of its piece, -1 for a marker, which always stays.
        blank: The token that stands where one was removed, as `[MASK]`; `None` means that the rest
            closes up.
        begin: What a text is of which nothing is left; `None` where markers stay or blanks stand.
        pad: What stands behind shorter copies; models are told that it is no text.

    Raises:
        DataError: No token, or none that can be removed, a piece without a token, or nothing may be
            left.
        ShapeError: There are more places than tokens, or fewer.
    """

    numbers: tuple[int, ...]
    pieces: tuple[str, ...]
    places: tuple[int, ...]
    blank: int | None = None
    begin: int | None = None
    pad: int = 0

    def __post_init__(self) -> None:
        if len(self.places) != len(self.numbers):
            raise ShapeError(
                f"places must be as many as the {len(self.numbers)} tokens, got {len(self.places)}"
            )
        known = set(self.places) - {NOWHERE}
        if not known or known != set(range(len(self.pieces))):
            raise DataError(
                f"each of {len(self.pieces)} pieces must have a token, got those of {sorted(known)}"
            )
        if self.blank is None and self.begin is None and NOWHERE not in self.places:
            raise DataError("a text must have a marker, a blank or a begin, got none of them")

    @property
    def removal(self) -> str:
        """What removing a piece means, in words."""
        return "left out of the text" if self.blank is None else f"replaced by token {self.blank}"

    def kept(self, kept: Tensor, behind: Sequence[int] = ()) -> Copies:
        """Return copies of the text.

        Args:
            kept: `(copies, pieces)`, True = stays.
            behind: Tokens that follow on each.
        """
        copies = [[*self._of(copy), *behind] for copy in kept.tolist()]
        longest = max(map(len, copies))
        rows = [[*copy, *[self.pad] * (longest - len(copy))] for copy in copies]
        lengths = torch.tensor([len(copy) for copy in copies], device=kept.device)
        there = torch.arange(longest, device=kept.device) < lengths[:, None]
        return Copies(torch.tensor(rows, device=kept.device), there)

    def _of(self, kept: Sequence[bool]) -> list[int]:
        pairs = list(zip(self.numbers, self.places, strict=True))
        if self.blank is not None:
            return [n if at == NOWHERE or kept[at] else self.blank for n, at in pairs]
        left = [number for number, at in pairs if at == NOWHERE or kept[at]]
        return left or ([] if self.begin is None else [self.begin])


def numbered(
    numbers: Sequence[int],
    names: Sequence[str],
    *,
    markers: Collection[int] = (),
    blank: int | None = None,
    begin: int | None = None,
    pad: int = 0,
) -> Tokens:
    """Take a text whose tokens are pieces, each of its own.

    Args:
        numbers: Of all tokens.
        names: The text of each.
        markers: Numbers of tokens that always stay.
        blank: As in `Tokens`, and so are the others.
        begin: See there.
        pad: See there.

    Raises:
        DataError: As `Tokens`.
        ShapeError: There are more names than tokens, or fewer.
    """
    if len(names) != len(numbers):
        raise ShapeError(f"names must be as many as the {len(numbers)} tokens, got {len(names)}")
    pieces: list[str] = []
    places: list[int] = []
    for number, name in zip(numbers, names, strict=True):
        places.append(NOWHERE if number in markers else len(pieces))
        if number not in markers:
            pieces.append(name)
    return Tokens(
        numbers=tuple(numbers),
        pieces=tuple(pieces),
        places=tuple(places),
        blank=blank,
        begin=begin,
        pad=pad,
    )


def tokenized(tokenizer: Any, text: str, *, words: bool = True) -> Tokens:
    """Cut a text by a tokenizer of transformers.

    Its mask token stands where a piece was removed; where it has none the rest closes up.

    Args:
        tokenizer: Called with the text.
        text: What is read.
        words: Are pieces the words that a fast tokenizer knows? Else each token is one.

    Raises:
        DataError: The text has no token that is no marker.
    """
    encoded = tokenizer(text)
    numbers: list[int] = list(encoded["input_ids"])
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    fill = {
        "blank": tokenizer.mask_token_id,
        "begin": begin,
        "pad": 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
    }
    if not (words and getattr(tokenizer, "is_fast", False)):
        names = [tokenizer.decode([number]) for number in numbers]
        return numbered(numbers, names, markers=set(tokenizer.all_special_ids), **fill)
    spans: dict[int, Any] = {}
    places: list[int] = []
    for word in encoded.word_ids():
        if word is not None and word not in spans:
            spans[word] = encoded.word_to_chars(word)
        places.append(NOWHERE if word is None else list(spans).index(word))
    pieces = tuple(text[span.start : span.end] for span in spans.values())
    return Tokens(numbers=tuple(numbers), pieces=pieces, places=tuple(places), **fill)
