"""What a user should know about one answer: pieces that were never seen, and what was not read."""

from collections.abc import Sequence

from heedful.data.tokens import UNKNOWN, Vocabulary

SHOWN = 40  # characters of a text
FEW = 5  # pieces


def shortened(text: str, most: int = SHOWN) -> str:
    """Return the beginning of a text, at most so many characters: to name it in a line."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def unknown_pieces(vocabulary: Vocabulary, text: str) -> list[str]:
    """Return the pieces of a text that the vocabulary does not hold, each once."""
    pieces = zip(vocabulary.pieces(text), vocabulary.encode([text])[0], strict=True)
    return list(dict.fromkeys(piece for piece, number in pieces if number == UNKNOWN))


def never_seen(text: str, pieces: Sequence[str], also: str = "") -> list[str]:
    """Say which pieces of a text a model has never seen; nothing where there are none.

    Args:
        text: As it is shown.
        pieces: Those.
        also: What follows from it.
    """
    few = ", ".join(map(repr, pieces[:FEW])) + (", …" if pieces[FEW:] else "")
    return [f"{text} has pieces that this model has never seen{also}: {few}"] if pieces else []


def not_read(text: str, part: str, given: float, read: float, setting: str) -> list[str]:
    """Say that a model does not read all of an input; nothing where it does.

    Args:
        text: As it is shown.
        part: Of which it reads some, e.g. `first tokens`.
        given: How many there are.
        read: How many it reads.
        setting: Of the config that says so.
    """
    if given <= read:
        return []
    there, known = (f"{round(number, 1):,}" for number in (given, read))
    return [f"of {text} only the {known} {part} are read, of {there} ({setting})"]


def on_text(
    text: str,
    read: str,
    vocabulary: Vocabulary,
    longest: int,
    setting: str,
    *,
    copied: bool = False,
) -> list[str]:
    """Say what of a text a model does not read, and which pieces it has never seen.

    Args:
        text: As a user typed it.
        read: As it is read, e.g. in small letters.
        vocabulary: Of the model.
        longest: Tokens that it reads, without the markers of beginning and end.
        setting: Of the config that says so.
        copied: Can the model copy pieces that it has never seen?
    """
    shown, numbers = repr(shortened(text)), vocabulary.encode([read])[0]
    unread = not_read(shown, "first tokens", len(numbers) - 2, longest, setting)
    if copied or UNKNOWN not in numbers:
        return unread
    return unread + never_seen(shown, unknown_pieces(vocabulary, read))
