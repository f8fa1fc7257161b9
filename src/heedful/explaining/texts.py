"""A text as words that can be left out, whatever its tokens are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Regex, pre_tokenizers
from torch import Tensor

from heedful.data.ragged import Ragged
from heedful.data.scripts import UNSPACED, WORD
from heedful.data.tokens import PAD
from heedful.explaining.question import NOWHERE

REMOVAL = "left out of the text"
_WORDS = pre_tokenizers.Split(Regex(rf"{UNSPACED}|{WORD}| ?\p{{N}}+| ?\X"), "isolated")


@dataclass(frozen=True)
class Words:
    """The words of a text, and which of them each token belongs to.

    Args:
        tokens: Numbers of the tokens, markers included.
        words: As they were typed.
        places: For each token the number of its word, `NOWHERE` for a marker.
    """

    tokens: tuple[int, ...]
    words: tuple[str, ...]
    places: tuple[int, ...]

    def kept(self, kept: Tensor) -> Ragged:
        """Return the tokens of copies from which words are left out.

        Args:
            kept: `(copies, words)`, True = stays.
        """
        places, tokens = np.array(self.places), np.array(self.tokens, np.int32)
        stays = np.ones((len(kept), len(tokens)), bool)
        words = places != NOWHERE
        stays[:, words] = kept.cpu().numpy()[:, places[words]]
        starts = np.concatenate([np.zeros(1, np.int64), stays.sum(1).cumsum()])
        return Ragged(np.broadcast_to(tokens, stays.shape)[stays], starts)

    def batch(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same, padded to one matrix, and the length of each copy."""
        rows = self.kept(kept).padded(range(len(kept)), pad=PAD)
        tokens, lengths = (torch.from_numpy(each).to(kept.device) for each in rows)
        return tokens, lengths


def words_of(tokens: Sequence[int], pieces: Sequence[str], *, whole: bool = True) -> Words:
    """Cut a text into the words that its tokens are parts of.

    A word is a run of letters or of digits, a mark, or one character of a script without spaces;
    a token that reaches into the next word makes one of both.

    Args:
        tokens: Their numbers; the first and the last are the markers of beginning and end.
        pieces: The text of each token, of the markers too; together they are the text.
        whole: Words; else every token is a piece of its own.
    """
    inner = list(pieces[1:-1])
    begins = _beginnings("".join(inner)) if whole else set[int]()
    words: list[str] = []
    places: list[int] = []
    start = 0
    for piece in inner:
        if not words or not whole or start in begins:
            words.append("")
        words[-1] += piece
        places.append(len(words) - 1)
        start += len(piece)
    return Words(tuple(tokens), tuple(words), (NOWHERE, *places, NOWHERE))


def joined(texts: Sequence[Words]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the words of several texts, one after the other, and the word at each token of all."""
    words: list[str] = []
    places: list[int] = []
    for text in texts:
        places += [place if place == NOWHERE else len(words) + place for place in text.places]
        words += text.words
    return tuple(words), tuple(places)


def _beginnings(text: str) -> set[int]:
    return {start for _, (start, _) in _WORDS.pre_tokenize_str(text)}
