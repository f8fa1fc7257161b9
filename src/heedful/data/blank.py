"""Texts in which there is nothing to see."""

from unicodedata import category

UNSEEN = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf"))  # spaces, and what only steers
FILLERS = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters without a shape


def is_blank(text: str) -> bool:
    """Say whether all characters of a text are spaces, control characters or of no width.

    `str.strip` leaves what nobody sees, e.g. a zero-width space or NUL, so a cell or a line with
    nothing else would count as a text.
    """
    return all(letter in FILLERS or category(letter) in UNSEEN for letter in text)
