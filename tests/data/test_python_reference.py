"""The built-in running text: long, in one piece, and no paragraph twice."""

from collections import Counter

from heedful.data.python_reference import python_reference


def test_no_paragraph_stands_twice():
    text = python_reference()
    assert len(text) > 200_000
    assert "assert_stmt" in text
    paragraphs = Counter(part.strip() for part in text.split("\n\n"))
    assert max(paragraphs.values()) == 1
    assert python_reference() == text
