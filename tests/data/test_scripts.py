"""Composed text and what was typed for it; scripts without spaces are told by their words."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.scripts import composed, typed_parts, unspaced_shares

# marks that change places, syllables of several letters, characters that composing takes apart
AWKWARD = st.text(
    st.sampled_from("aeq é\u0301\u0323\u0302\u0f73\u1100\u1161\u11a8가\u0958क\u093cো\uf995\u0344")
)


@given(text=st.one_of(st.text(), AWKWARD))
@pytest.mark.parametrize("form", ["NFC", "NFD", None])
def test_typed_parts_are_the_text_and_stand_for_its_composed_characters(form, text):
    text = unicodedata.normalize(form, text) if form else text
    parts = typed_parts(text)
    assert "".join(parts) == text
    assert len(parts) == len(composed(text))
    start = 0
    for number, part in enumerate(parts):  # a part that is cut off alone composes to its own
        if part and all(parts[number + 1 : number + 2]):
            end = start + len(part)
            assert composed(text[:end]) == composed(text)[: number + 1]
        start += len(part)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("e\u0301a", ["e\u0301", "a"]),
        ("e\u0323\u0302", ["e\u0323\u0302"]),
        ("q\u0303", ["q", "\u0303"]),
        ("e\u0301\u030b", ["e\u0301", "\u030b"]),
        ("\u1112\u1161\u11abㅋ", ["\u1112\u1161\u11ab", "ㅋ"]),
        ("\u0958", ["\u0958", ""]),
        ("", []),
    ],
)
def test_a_composed_character_keeps_what_was_typed_for_it(text, parts):
    assert typed_parts(text) == parts


@pytest.mark.parametrize(
    "texts, han, unspaced",
    [
        (["请安装 PyTorch 和 transformers"], 4 / 6, 0),
        (["金曜日です"], 3 / 5, 2 / 5),
        (["ราคา 25 บาท"], 0, 1),
        (["Hello there, 2 of you"], 0, 0),
        (["이 도시는 큽니다"], 0, 0),
        (["1999-12-31"], 0, 0),
        ([], 0, 0),
    ],
)
def test_shares_count_words(texts, han, unspaced):
    assert unspaced_shares(texts) == pytest.approx((han, unspaced), abs=0)
