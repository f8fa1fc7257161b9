"""One locale that speaks: numbers, quantities, dates and lists as its readers write them."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from difflib import get_close_matches

from babel import Locale, UnknownLocaleError, localedata
from babel.dates import DateTimeFormat

from heedful.data.patterns import NAMED, Patterns, Plurals, clean, isolate
from heedful.errors import ConfigError

# A pattern may leave its number out ("يومان", two days) only where the category is one number.
_UNSAID = {"zero": "0", "one": "1", "two": "2"}

# What ends a sentence and what parts its clauses, by the locale's first script or, before that,
# its language. Scripts that are not listed write as Latin does.
_MARKS = {
    "CJK": ("。", "；"),
    "HIRAGANA": ("。", "、"),
    "KATAKANA": ("。", "、"),
    "ARABIC": (". ", "؛ "),
    "ur": ("۔ ", "؛ "),
    "DEVANAGARI": ("। ", "; "),
    "BENGALI": ("। ", "; "),
    "GURMUKHI": ("। ", "; "),
    "ORIYA": ("। ", "; "),
    "ARMENIAN": ("։ ", "; "),
    "ETHIOPIC": ("። ", "፤ "),
    "MYANMAR": ("။ ", "၊ "),
    "KHMER": ("។ ", "; "),
    "TIBETAN": ("། ", "; "),
}


def parse_locale(argument: str, name: str) -> Locale:
    """Find a locale of Babel's.

    Args:
        argument: The setting that holds the name, for the message.
        name: E.g. `zh_Hans` or `pt-BR`.

    Raises:
        ConfigError: Babel does not know the name; the nearest ones are listed.
    """
    language, *rest = name.replace("-", "_").split("_")
    try:
        locale = Locale.parse("_".join([language, *rest]))
        known = {part.casefold() for part in str(locale).split("_")}
        if all(part.casefold() in known for part in rest):
            return locale  # otherwise Babel took zh_Hanz for zh and would have made it zh_Hans
    except (UnknownLocaleError, ValueError, TypeError):
        pass
    names = sorted(localedata.locale_identifiers())
    near = get_close_matches("_".join([language, *rest]), names, n=4, cutoff=0.5)
    hint = f" Near: {', '.join(near)}." if near else ""
    raise ConfigError(f"{argument} must be a locale of Babel, got {name!r}.{hint}")


class Side:
    """One locale of a pair. A method returns `None` for what the locale cannot say.

    Args:
        locale: A locale of Babel's.
    """

    def __init__(self, locale: Locale) -> None:
        self._locale = locale = isolate(locale)
        patterns = Patterns(locale)
        self.names = {field: patterns.names(field) for field in NAMED}
        self.units, self.money = patterns.units(), patterns.money()
        self.relative, self.compact_forms = patterns.relative(), patterns.compact()
        self.lists, self.dates = patterns.lists(), patterns.dates()
        self.times = {style: locale.time_formats[style] for style in ("medium", "short")}
        self.stop, self.pause = next(
            (_MARKS[key] for key in (locale.language, *patterns.scripts[:1]) if key in _MARKS),
            (". ", "; "),
        )
        symbols = locale.number_symbols["latn"]
        self._group, self._point = clean(symbols["group"]) or " ", clean(symbols["decimal"])
        self._grouping = locale.decimal_formats[None].grouping

    def number(self, value: Decimal) -> str:
        """All digits that `value` has, trailing zeros too, in groups."""
        whole, _, fraction = f"{value:f}".partition(".")
        groups: list[str] = []
        size = self._grouping[0]
        while len(whole) > size:
            groups.insert(0, whole[-size:])
            whole, size = whole[:-size], self._grouping[1]
        whole = self._group.join([whole, *groups])
        return f"{whole}{self._point}{fraction}" if fraction else whole

    def quantity(self, forms: Plurals, value: Decimal) -> str | None:
        """`value` in the form that its plural category asks for."""
        category = self._locale.plural_form(value)
        form = forms.get(category) or forms["other"]
        if "{0}" not in form:
            return form if str(value) == _UNSAID.get(category) else None
        return form.replace("{0}", self.number(value))

    def compact(self, value: Decimal) -> str | None:
        """A round number in words, `1.2 million`, with all its digits."""
        fitting = ((power, forms) for power, forms in self.compact_forms if value >= power)
        power, forms = next(fitting, (0, None))
        if forms is None:
            return None
        if forms["other"] == "0":  # too small for a word of its own here
            return self.number(value)
        zeros = forms["other"].count("0")
        shown: Decimal = (value / (power // 10 ** max(zeros - 1, 0))).normalize()
        shown = shown.to_integral() if shown == shown.to_integral() else shown
        category = self._locale.plural_form(shown)
        form = forms.get("1" if shown == 1 else category) or forms.get(category) or forms["other"]
        if "0" not in form:
            return form if shown == 1 else None
        return form.replace("0" * form.count("0"), self.number(shown))

    def join(self, items: Sequence[str], style: str) -> str | None:
        """A list in words: `A, B, and C`."""
        if len(items) == 1:
            return items[0]
        if (parts := self.lists.get(style)) is None:
            return None
        if len(items) == 2:
            return clean(parts["2"].format(*items))
        text = parts["end"].format(*items[-2:])
        for item in reversed(items[1:-2]):
            text = parts["middle"].format(item, text)
        return clean(parts["start"].format(items[0], text))

    def date(self, style: str, moment: datetime.datetime) -> str:
        """The date of `moment` in one of `self.dates`."""
        return clean(self.dates[style] % DateTimeFormat(moment, self._locale))

    def time(self, style: str, moment: datetime.datetime) -> str:
        """The time of `moment` in one of `self.times`."""
        return clean(self.times[style] % DateTimeFormat(moment, self._locale))

    def date_time(self, style: str, date: str, time: str) -> str:
        """A date and a time as one phrase."""
        frame = str(self._locale.datetime_formats[style]).replace("'", "")
        return clean(frame.replace("{0}", time).replace("{1}", date))

    def text(self, phrases: Sequence[str], pauses: Sequence[bool]) -> str:
        """Phrases as sentences; where `pauses` is true, a clause goes on instead of ending."""
        text = ""
        for phrase, goes_on in zip(phrases, [*pauses, False], strict=True):
            mark = self.pause if goes_on else self.stop
            # A phrase that ends in an abbreviation has its full stop already.
            text += phrase + (mark[1:] if phrase.endswith(mark[0]) else mark)
        return text.strip()
