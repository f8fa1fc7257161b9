"""Patterns of one locale from Babel's CLDR, cleaned and without stopgaps from CLDR's root."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from functools import cache
from typing import Any

from babel import Locale, localedata
from babel.dates import DateTimePattern, parse_pattern

Plurals = Mapping[str, str]  # plural category -> pattern; "other" is always there

CATEGORIES = ("zero", "one", "two", "few", "many", "other")
NAMED = ("territories", "languages", "scripts")
DATE_STYLES = ("full", "long", "medium", "short")
SKELETONS = ("yMMMEd", "yMMMd", "yMEd", "yMd", "yMMMM", "MMMMd", "MMMEd", "yQQQQ")

# No-break and thin spaces become plain ones, and marks without width disappear: nobody who types
# the phrase types them. Joiners inside Persian or Indic words are spelling, so they stay.
_INVISIBLE = str.maketrans(
    dict.fromkeys("\u00a0\u1680\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " ")
    | dict.fromkeys("\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff", "")
    | {chr(mark): "" for mark in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
)


def clean(text: str) -> str:
    """Plain single spaces, no marks without width, composed characters."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_INVISIBLE).split())


@cache
def script(letter: str) -> str:
    """The script of one letter as Unicode names it, e.g. LATIN, CJK, ARABIC."""
    return unicodedata.name(letter, "?").split()[0]


def main_scripts(texts: Iterable[str]) -> tuple[str, ...]:
    """Scripts that write at least a twentieth of the letters, the most frequent first."""
    letters = Counter(script(c) for text in texts for c in text if c.isalpha())
    return tuple(s for s, count in letters.most_common() if count * 20 >= letters.total())


def isolate(locale: Locale) -> Locale:
    """The same locale with data of its own.

    Babel (2.18, its issue 1234) writes what it looks up into data that locales share: after a look
    at Hebrew or at a sparse locale, Arabic "March" may read "M03" for the rest of the process.
    """
    isolated = copy(locale)
    data = locale._data.base  # pyright: ignore[reportPrivateUsage]
    vars(isolated)["_Locale__data"] = localedata.LocaleDataDict(deepcopy(dict(data)))
    return isolated


class Patterns:
    """Everything one locale says by itself, as plain tables.

    CLDR answers what a locale lacks from its root with stopgaps (`+3 y`, `5 m`, `A or B`) that
    would be learned as translations. So a pattern counts only if it differs from the root's and if
    its letters, where it has any, are in a script in which the locale writes.

    Args:
        locale: A locale of Babel's, isolated.
    """

    def __init__(self, locale: Locale) -> None:
        self._locale = locale
        # Root data stands only in this private mapping; Babel has no public way to ask for it.
        self._data: Mapping[Any, Any] = locale._data  # pyright: ignore[reportPrivateUsage]
        root: dict[Any, Any] = deepcopy(localedata.load("root"))
        self._root: Mapping[Any, Any] = localedata.LocaleDataDict(root)
        territories = [str(name) for name in locale.territories.values()]
        months = [str(name) for name in locale.months["format"]["wide"].values()]
        self.scripts = main_scripts(territories or months)

    def names(self, field: str) -> dict[str, Plurals]:
        """Names of territories, languages or scripts by their code."""
        names = ((code, clean(name)) for code, name in getattr(self._locale, field).items() if name)
        return {str(code): {"other": name} for code, name in names if self._native(name)}

    def units(self) -> dict[str, Plurals]:
        """Unit -> `{0} meters`."""
        units: dict[str, Plurals] = {}
        for unit, lengths in self._data["unit_patterns"].items():
            for length in ("long", "short"):  # CLDR's own order of inheritance
                plurals = self._plurals(lengths.get(length, {}))
                if plurals and self._own(plurals, "unit_patterns", unit, length):
                    units[unit] = plurals
                    break
        return units

    def money(self) -> dict[str, Plurals]:
        """Currency -> `{0} US dollars`."""
        frames = self._plurals(self._data["currency_unit_patterns"]) or {"other": "{0} {1}"}
        money: dict[str, Plurals] = {}
        for code, name in self._data["currency_names"].items():
            names = {"other": name, **self._data["currency_names_plural"].get(code, {})}
            plurals = {
                c: frames.get(c, frames["other"]).replace("{1}", names.get(c, names["other"]))
                for c in CATEGORIES
                if c in frames or c in names
            }
            if usable := self._plurals(plurals):
                money[code] = usable
        return money

    def relative(self) -> dict[str, Plurals]:
        """`year future` -> `in {0} years`; years to seconds, and the days of the week."""
        relative: dict[str, Plurals] = {}
        for field, tenses in self._data["date_fields"].items():
            for tense in ("future", "past"):
                plurals = self._plurals(tenses.get(tense, {}))
                short = "-" in field  # "year-narrow"
                if not short and plurals and self._own(plurals, "date_fields", field, tense):
                    relative[f"{field} {tense}"] = plurals
        return relative

    def compact(self) -> list[tuple[int, Plurals]]:
        """Power of ten -> `0 million`, the largest first. Empty when the locale has no words."""
        for length in ("long", "short"):  # CLDR's own order of inheritance
            powers: dict[int, dict[str, str]] = {}
            for category, forms in self._data["compact_decimal_formats"].get(length, {}).items():
                for power, pattern in forms.items():
                    text = clean(pattern.pattern.split(";")[0].replace("'", ""))
                    powers.setdefault(int(power), {})[category] = text
            own = {
                power: forms
                for power, forms in powers.items()
                if "other" in forms
                and all(self._native(form) for form in forms.values())
                and forms["other"] not in self._stopgaps(power)
            }
            if own:
                return sorted(own.items(), reverse=True)
        return []

    def lists(self) -> dict[str, dict[str, str]]:
        """`and`, `or` and, for parts of one quantity, `unit`: start, middle, end and 2."""
        patterns = self._data["list_patterns"]
        standard = dict(patterns.get("standard", {}))
        lists = {
            "and": standard,
            "or": dict(patterns.get("or", {})),
            # CLDR's own order of inheritance, part by part
            "unit": standard
            | dict(patterns.get("unit-short", {}))
            | dict(patterns.get("unit", {})),
        }
        if not self._own(lists["or"], "list_patterns", "or"):
            del lists["or"]
        return {style: parts for style, parts in lists.items() if parts}

    def dates(self) -> dict[str, DateTimePattern]:
        """Style or skeleton -> date pattern. Empty when the locale has no month names."""
        if not self._own(dict(self._data["months"]["format"]["wide"]), "months", "format", "wide"):
            return {}
        styles = {style: self._locale.date_formats[style] for style in DATE_STYLES}
        skeletons = self._locale.datetime_skeletons
        return styles | {s: parse_pattern(skeletons[s]) for s in SKELETONS if s in skeletons}

    def _own(self, forms: Mapping[Any, Any], *path: str) -> bool:
        """Whether `forms` are not just what the root has at `path`. Its stopgaps are English."""
        found: Any = self._root
        for key in path:
            found = found.get(key, {})
        return self._locale.language == "en" or forms != {k: found[k] for k in found if k in forms}

    def _stopgaps(self, power: int) -> set[str]:
        tables = self._root["compact_decimal_formats"].values()
        found = (table.get("other", {}).get(str(power)) for table in tables)
        return {pattern.pattern for pattern in found if pattern is not None}

    def _plurals(self, forms: Mapping[str, Any]) -> dict[str, str]:
        """The plural forms, or nothing when the locale does not really have them."""
        plurals = {c: clean(str(forms[c])) for c in CATEGORIES if forms.get(c)}
        usable = "other" in plurals and all(self._native(form) for form in plurals.values())
        return plurals if usable else {}

    def _native(self, text: str) -> bool:
        letters = [c for c in text if c.isalpha()]
        return not letters or any(script(letter) in self.scripts for letter in letters)
