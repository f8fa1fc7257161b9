"""Texts fall into sentences, in scripts with spaces and without."""

import re

_SENTENCE = re.compile(r"(?:(?![。！？\n]|[.!?](?:\s|$)).)*(?:[。！？!?\n.]+\s*|$)")


def sentences(text: str) -> list[str]:
    """Divide a text into sentences, which together are the text.

    A full stop, an exclamation or a question mark ends one where a space or nothing follows; the
    marks of Chinese always do.
    """
    return _SENTENCE.findall(text)[:-1] or [text]
