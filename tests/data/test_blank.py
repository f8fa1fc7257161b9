"""Blank texts."""

import pytest

from heedful.data.blank import is_blank

UNSEEN = ["", " ", "\t\n\r", "\u200b", "\ufeff", "\u2060\u200d", "\0", "\x1b", "\u3000", "\u2800"]


@pytest.mark.parametrize("text", UNSEEN)
def test_what_nobody_sees_is_blank(text):
    assert is_blank(text)
    assert is_blank(f" {text}\u200b ")


@pytest.mark.parametrize("seen", ["a", "。", "०", "😀", "\ue000", "\u0301", "-", "\U0001fae9"])
@pytest.mark.parametrize("text", UNSEEN)
def test_one_character_that_is_seen_is_enough(text, seen):
    assert not is_blank(f"{text}{seen}{text}")
