"""How one locale writes numbers, quantities and lists."""

import subprocess
import sys
from decimal import Decimal

import pytest
from babel import Locale

from heedful.data.locales import Side, parse_locale


def side(name):
    return Side(Locale.parse(name))


@pytest.mark.parametrize(
    "name, value, want",
    [
        ("en", "1234567.50", "1,234,567.50"),
        ("de", "1234567.50", "1.234.567,50"),
        ("fr", "1234567", "1 234 567"),  # CLDR has U+202F
        ("hi", "1234567", "12,34,567"),
        ("en", "999", "999"),
        ("en", "0.05", "0.05"),
    ],
)
def test_number(name, value, want):
    assert side(name).number(Decimal(value)) == want


@pytest.mark.parametrize(
    "name, value, want",
    [
        ("en", 1_230_000, "1.23 million"),
        ("zh_Hans", 1_230_000, "123万"),
        ("zh_Hans", 12_300_000, "1,230万"),
        ("zh_Hans", 1_500, "1,500"),  # no word of its own below ten thousand
        ("en", 90, None),
        ("fr", 1_000, "mille"),
        ("fr", 1_500, "1,5 millier"),
        ("de", 2_000_000, "2 Millionen"),
        ("de", 1_000_000, "1 Million"),
        ("en", 500_000_000, "500 million"),
    ],
)
def test_compact(name, value, want):
    assert side(name).compact(Decimal(value)) == want


@pytest.mark.parametrize(
    "name, value, want",
    [
        ("en", "1", "1 meter"),
        ("en", "1.0", "1.0 meters"),
        ("zh_Hans", "3", "3米"),
        ("ar", "1", "متر"),
        ("ar", "1.00", None),  # "متر" would lose the decimals
        ("ar", "5", "5 أمتار"),
    ],
)
def test_quantity(name, value, want):
    speaker = side(name)
    assert speaker.quantity(speaker.units["length-meter"], Decimal(value)) == want


@pytest.mark.parametrize(
    "name, style, items, want",
    [
        ("en", "and", "A", "A"),
        ("en", "and", "AB", "A and B"),
        ("en", "or", "ABCD", "A, B, C, or D"),
        ("zh_Hans", "and", "ABC", "A、B和C"),
        ("fr", "unit", "ABC", "A, B et C"),
        ("zh_Hans", "unit", "ABC", "ABC"),
        ("ar", "unit", "AB", "A وB"),
    ],
)
def test_join(name, style, items, want):
    assert side(name).join(list(items), style) == want


def test_join_does_not_read_its_items_as_patterns():
    assert side("en").join(["{0}", "{1}", "{x}"], "and") == "{0}, {1}, and {x}"


def test_english_or_is_not_another_languages_or():
    assert "or" in side("en").lists
    assert "or" not in side("aa").lists


def test_text_has_native_marks_and_no_double_stop():
    assert side("en").text(["a", "b", "c"], [False, True]) == "a. b; c."
    assert side("zh_Hans").text(["a", "b", "c"], [False, True]) == "a。b；c。"
    assert side("en").text(["5 p.m.", "b"], [False]) == "5 p.m. b."
    assert side("hi").text(["a", "b"], [False]) == "a। b।"
    assert side("ur").text(["a", "b"], [False]) == "a۔ b۔"


def test_looking_at_one_locale_does_not_change_another():
    """Babel keeps what it has looked up where locales share it: Arabic March once read "M03"."""
    script = """
import datetime
from heedful.data.locales import Side, parse_locale
for name in ("tyv", "ar"):  # the first has no month names
    side = Side(parse_locale("locale", name))
print(ascii(side.date("yMMMd", datetime.datetime(2000, 3, 19))))
"""  # in a process of its own: here Arabic may have been loaded already
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().strip() == ascii("19 مارس 2000")


def test_a_word_without_a_number_means_one():
    speaker = side("fr")
    speaker.compact_forms = [(1_000, {"other": "mille"})]
    assert speaker.compact(Decimal(1_000)) == "mille"
    assert speaker.compact(Decimal(2_000)) is None


def test_parse_locale_takes_hyphens():
    assert parse_locale("source_locale", "pt-BR") == Locale.parse("pt_BR")
