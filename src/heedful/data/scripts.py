"""What texts are written in: their composed form, and scripts without spaces between words."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import islice
from unicodedata import combining, normalize

from tokenizers import Regex, pre_tokenizers

LETTER = r"[\p{L}\p{M}\u200c\u200d]"  # with the joiners that spell Persian and Indic words
# Scripts without spaces between words, and the mark for long vowels that kana share.
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}ー々]"
WORD = rf" ?(?:(?!{UNSPACED}){LETTER})+"

_LOOKED_AT = 10_000  # texts; their scripts are known long before


def composed(text: str) -> str:
    """Return the text in the form (NFC) in which vocabularies read and models write it.

    Texts are compared in this form: "é" may have been typed as one character or as two.
    """
    return normalize("NFC", text)


def typed_parts(text: str) -> list[str]:
    """Return what was typed for each character of `composed(text)`.

    Together the parts are `text`. Where a part of the text becomes several composed characters
    and it cannot be told which came from what, it stands with the first of them.
    """
    if composed(text) == text:
        return list(text)
    parts: list[str] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or _begins(text[start:end], text[end]):
            parts += _parts(text[start:end])
            start = end
    return parts


def unspaced_shares(texts: Iterable[str]) -> tuple[float, float]:
    """Return which share of the words is a Han character, and one of another unspaced script.

    Each such character counts as a word, as does each run of other letters. The first 10,000
    texts are looked at.
    """
    split = pre_tokenizers.Split(Regex(rf"{WORD}|\X"), "isolated")
    pieces = Counter(
        piece for text in islice(texts, _LOOKED_AT) for piece, _ in split.pre_tokenize_str(text)
    )
    words: Counter[str] = Counter()
    for piece, count in pieces.items():
        if any(letter.isalpha() for letter in piece):
            words[_script(piece)] += count
    total = max(words.total(), 1)
    return words["han"] / total, words["unspaced"] / total


def _begins(before: str, letter: str) -> bool:
    """Is `letter` neither composed with what stands before it, nor moved within it?"""
    apart = normalize("NFC", before) + normalize("NFC", letter)
    return combining(normalize("NFD", letter)[0]) == 0 and composed(before + letter) == apart


def _parts(typed: str) -> list[str]:
    made = composed(typed)
    same = 0  # characters at the end that composing left alone
    while same < min(len(typed), len(made)) - 1 and typed[-1 - same] == made[-1 - same]:
        same += 1
    rest = [""] * (len(made) - same - 1)
    return [typed[: len(typed) - same], *rest, *typed[len(typed) - same :]]


@cache
def _script(piece: str) -> str:
    for name, pattern in (("han", r"[\p{Han}々]"), ("unspaced", UNSPACED)):
        rest = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(piece[0])
        if not rest:
            return name
    return "spaced"
