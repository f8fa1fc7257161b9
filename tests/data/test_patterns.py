"""What counts as a locale's own words."""

import pytest
from babel import Locale

from heedful.data.patterns import Patterns, clean, isolate, main_scripts


def patterns(name):
    return Patterns(isolate(Locale.parse(name)))


def test_clean():
    assert clean("1\u202f234\u00a0km\u200f \u061cx") == "1 234 km x"
    assert clean("e\u0301") == "é"
    assert clean("می\u200cخواهم") == "می\u200cخواهم"  # a joiner is spelling


def test_main_scripts_are_ordered_and_not_rare():
    assert main_scripts(["aaa", "ббббббб", "字" * 50 + "x"]) == ("CJK", "CYRILLIC", "LATIN")
    assert main_scripts(["字" * 50 + "x"]) == ("CJK",)


@pytest.mark.parametrize("name", ["zh_Hans", "ja", "ar", "ru", "th", "hi"])
def test_nothing_is_left_in_latin(name):
    found = patterns(name)
    tables = [found.units(), found.money(), found.relative(), found.names("territories")]
    for table in tables:
        assert len(table) > 25
        for forms in table.values():
            for form in forms.values():
                letters = [c for c in form.replace("{0}", "") if c.isalpha()]
                assert not letters or not all(c.isascii() for c in letters), form


def test_a_unit_without_a_name_of_its_own_is_left_out():
    assert "graphics-dot-per-inch" in patterns("en").units()
    chinese = patterns("zh_Hans").units()
    assert chinese["length-meter"]["other"] == "{0}米"  # short, since CLDR's long form is the same
    assert not any("-" in form for forms in chinese.values() for form in forms.values())
    assert patterns("aa").units() == {}


def test_stopgaps_of_the_root_are_left_out():
    sparse = patterns("aa")
    assert sparse.relative() == {}
    assert sparse.compact() == []
    assert patterns("kkj").relative() == {}


def test_compact_words_come_largest_first():
    powers = [power for power, _ in patterns("en").compact()]
    assert powers == sorted(powers, reverse=True)
    assert powers[-1] == 1_000


def test_a_sparse_locale_has_no_dates_without_month_names():
    assert patterns("tyv").dates() == {}
    assert patterns("de").dates()["long"].pattern == "d. MMMM y"
