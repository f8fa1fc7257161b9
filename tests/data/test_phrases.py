"""What two locales can both say."""

import datetime
from random import Random

import pytest
from babel import Locale
from babel.dates import parse_pattern

from heedful.data.locales import Side
from heedful.data.phrases import KINDS, Pair, told, unambiguous


@pytest.mark.parametrize(
    "pattern, known",
    [
        ("M/d/yy", {"M", "d", "Q"}),
        ("MMM d, y", set("yMdEQG")),
        ("yyyy LLLL", set("yMQ")),
        ("h:mm", set("hm")),
        ("h:mm a", set("hmaH")),
        ("Bh:mm", set("hmaH")),
        ("HH:mm:ss", set("Hhams")),
    ],
)
def test_told(pattern, known):
    assert told(parse_pattern(pattern)) == known


def test_a_form_with_two_meanings_is_dropped_on_both_sides():
    source = {"a": {"one": "x", "other": "xs"}, "b": {"other": "xs"}, "c": {"other": "z"}}
    target = {"a": {"other": "1"}, "b": {"other": "2"}, "c": {"other": "3"}, "d": {"other": "4"}}
    assert unambiguous(source, target, {}) == ["c"]


def test_a_form_with_one_meaning_twice_is_kept():
    source = {"a": {"other": "x"}, "b": {"other": "x"}}
    target = {"a": {"other": "1"}, "b": {"other": "1"}}
    assert unambiguous(source, target, {}) == ["a", "b"]


def test_the_kind_that_goes_first_claims_a_form():
    claimed = {}
    first = unambiguous({"ar": {"other": "Arabic"}}, {"ar": {"other": "阿拉伯语"}}, claimed)
    second = unambiguous(
        {"Arab": {"other": "Arabic"}, "Latn": {"other": "Latin"}},
        {"Arab": {"other": "阿拉伯文"}, "Latn": {"other": "拉丁文"}},
        claimed,
    )
    assert (first, second) == (["ar"], ["Latn"])


def test_forms_that_differ_in_case_are_the_same():
    source = {"a": {"other": "{0} Calorie"}, "b": {"other": "{0} calorie"}}
    target = {"a": {"other": "{0}大卡"}, "b": {"other": "{0}卡路里"}}
    assert unambiguous(source, target, {}) == []


def test_a_language_wins_over_a_script():
    pair = Pair(Side(Locale.parse("en")), Side(Locale.parse("zh_Hans")))
    assert "ar" in pair.names["languages"]
    assert "Arab" not in pair.names["scripts"]
    assert "Latn" not in pair.names["scripts"] or "la" not in pair.names["languages"]


def test_a_month_that_is_its_own_abbreviation_has_one_style():
    pair = Pair(Side(Locale.parse("en")), Side(Locale.parse("de")))
    march, may = pair.dates[2], pair.dates[4]
    assert {"long", "medium"} <= set(march)
    assert "long" in may
    assert "medium" not in may  # "May 3, 2039" is "3. Mai 2039" by the long style


def test_short_years_are_never_the_source():
    pair = Pair(Side(Locale.parse("en")), Side(Locale.parse("zh_Hans")))
    assert all("short" not in styles and len(styles) > 5 for styles in pair.dates)
    reverse = Pair(Side(Locale.parse("zh_Hans")), Side(Locale.parse("en")))
    assert all("short" in styles for styles in reverse.dates)  # 2039/6/14 becomes 6/14/39


def test_numeric_styles_never_swap_day_and_month():
    side, other = Side(Locale.parse("en")), Side(Locale.parse("de"))
    side.dates = {"a": parse_pattern("d/M/y"), "b": parse_pattern("M/d/y")}
    other.dates = {"a": parse_pattern("y-MM-dd"), "b": parse_pattern("y-MM-dd")}
    assert Pair(side, other).dates == [["a"]] * 12


def test_a_locale_that_lacks_a_kind_is_asked_for_nothing():
    sparse = Pair(Side(Locale.parse("aa")), Side(Locale.parse("en")))
    random = Random(1)
    for kind in ("span", "money", "unit", "duration", "scripts"):
        assert all(KINDS[kind][1](sparse, random) is None for _ in range(20))
    assert KINDS["date"][1](sparse, random) is not None


def test_both_sides_show_the_same_moment():
    pair = Pair(Side(Locale.parse("en")), Side(Locale.parse("zh_Hans")))
    moment = datetime.datetime(2039, 6, 14, 13, 5, 9)
    assert pair.both(lambda side: side.date("full", moment)) == (
        "Tuesday, June 14, 2039",
        "2039年6月14日星期二",
    )
    assert pair.both(lambda side: side.time("medium", moment)) == ("1:05:09 PM", "13:05:09")
