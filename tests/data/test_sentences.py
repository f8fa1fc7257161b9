"""Texts fall into sentences, and together these are the text."""

from hypothesis import given
from hypothesis import strategies as st

from heedful.data.sentences import sentences


@given(st.text(alphabet="ab .!?。！\n3", max_size=30))
def test_sentences_are_the_text(text):
    assert "".join(sentences(text)) == text


def test_sentences_end_where_a_reader_says_so():
    assert sentences("Good. 3.5 inches! Really? yes") == [
        "Good. ",
        "3.5 inches! ",
        "Really? ",
        "yes",
    ]
    assert sentences("Is 3 != 4? As ?x.") == ["Is 3 != 4? ", "As ?x."]
    assert sentences("很好。真的！是") == ["很好。", "真的！", "是"]
    assert sentences("so...\nwhat") == ["so...\n", "what"]
