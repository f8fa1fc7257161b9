import string

import pytest

from heedful.report.run_page.words import TABLE as REPORT
from heedful.serving.inputs import MEDIA
from heedful.serving.words import SAID, TABLE


def blanks(words):
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


@pytest.mark.parametrize("name", TABLE)
def test_both_languages_say_it_with_the_same_blanks(name):
    english, chinese = TABLE[name]
    assert english
    assert chinese
    assert blanks(english) == blanks(chinese)


def test_every_kind_and_what_the_script_says_has_its_words():
    assert set(SAID) | {f"kind {kind}" for kind in MEDIA} <= set(TABLE)


def test_no_word_of_a_report_is_said_anew():
    assert not set(TABLE) & set(REPORT)
