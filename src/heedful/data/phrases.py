"""Phrases that two locales can both say, kind by kind, so that the source decides the target."""

import datetime
from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from random import Random

from babel.dates import DateTimePattern, tokenize_pattern
from babel.numbers import get_currency_precision

from heedful.data.locales import Side
from heedful.data.patterns import DATE_STYLES, NAMED, Plurals

Phrase = tuple[str, str]

DURATIONS = {  # unit -> how many of it make the next larger one
    "duration-year": 100,
    "duration-month": 12,
    "duration-day": 30,
    "duration-hour": 24,
    "duration-minute": 60,
    "duration-second": 60,
}
_START, _DAYS = datetime.datetime(1900, 1, 1), 200 * 365
# Letters of a date pattern that tell the same; a, b and B all part the morning from the afternoon.
_SAME = {"L": "M", "c": "E", "e": "E", "q": "Q", "b": "a", "B": "a", "k": "H", "K": "h"}


def fields(pattern: DateTimePattern) -> dict[str, int]:
    """Field of a date or time pattern -> its width: `MMM d, y` is `{M: 3, d: 1, y: 1}`."""
    tokens = tokenize_pattern(pattern.pattern)
    found = [(str(token[0]), int(token[1])) for sort, token in tokens if sort == "field"]
    return {_SAME.get(letter, letter): width for letter, width in found}


def told(pattern: DateTimePattern) -> set[str]:
    """Fields that a reader of a date or time in `pattern` knows, also by looking them up."""
    known = {field for field, width in fields(pattern).items() if (field, width) != ("y", 2)}
    known |= {"E", "Q", "G"} if {"y", "M", "d"} <= known else set()
    known |= {"Q"} if "M" in known else set()
    known |= {"H", "h", "a"} if "H" in known or {"h", "a"} <= known else set()
    return known


def unambiguous(
    source: Mapping[str, Plurals], target: Mapping[str, Plurals], claimed: dict[str, Plurals]
) -> list[str]:
    """Keys whose source forms all have one translation.

    Args:
        source: Key -> forms in the source locale.
        target: Key -> forms in the target locale.
        claimed: Source form -> target forms, from kinds that go first; grows by this one. English
            "Arabic" is a language before it is a script.
    """
    meanings: defaultdict[str, list[Plurals]] = defaultdict(list)
    forms = {key: {form.casefold() for form in source[key].values()} for key in source}
    keys = [key for key in source if key in target]  # "Calorie" and "calorie" are too alike
    for key in keys:
        for form in forms[key]:
            meanings[form].append(target[key])
    certain = [
        key
        for key in keys
        if all(
            meaning == target[key]
            for form in forms[key]
            for meaning in (*meanings[form], claimed.get(form, target[key]))
        )
    ]
    for key in certain:
        claimed.update(dict.fromkeys(forms[key], target[key]))
    return certain


class Pair:
    """Everything that both locales can say and that the source decides.

    Args:
        source: The locale that is read.
        target: The locale that is written.
    """

    def __init__(self, source: Side, target: Side) -> None:
        self.source, self.target = source, target
        claimed: dict[str, Plurals] = {}
        self.relative = unambiguous(source.relative, target.relative, claimed)
        self.units = unambiguous(source.units, target.units, claimed)
        self.money = unambiguous(source.money, target.money, claimed)
        self.names = {f: unambiguous(source.names[f], target.names[f], claimed) for f in NAMED}
        self.joins = [style for style in source.lists if style in target.lists]
        self.times = self._styles(source.times, target.times)
        self.dates = self._certain_dates(self._styles(source.dates, target.dates))
        self.durations = [unit for unit in DURATIONS if unit in self.units]

    @staticmethod
    def _styles(
        source: Mapping[str, DateTimePattern], target: Mapping[str, DateTimePattern]
    ) -> list[str]:
        """Styles in which the source tells all that the target writes."""
        both = [style for style in source if style in target]
        return [style for style in both if fields(target[style]).keys() <= told(source[style])]

    def _certain_dates(self, styles: list[str]) -> list[list[str]]:
        """Styles for each month, without those that could be read as another style.

        "May 3, 2039" is both long and medium English, but not in every language; and where one
        style writes 3/4 for the third of April, another cannot write it for the fourth of March.
        """
        days = (*range(1, 13), 23)  # up to 12 a day can be mistaken for a month
        seen: dict[str, str] = {}
        months: list[list[str]] = [[] for _ in range(12)]
        for style in styles:
            for month, kept in enumerate(months, start=1):
                moments = [datetime.datetime(2039, month, day) for day in days]
                said = {self.source.date(style, m): self.target.date(style, m) for m in moments}
                if all(seen.get(source, target) == target for source, target in said.items()):
                    seen |= said
                    kept.append(style)
        return months

    def both(self, say: Callable[[Side], str | None]) -> Phrase | None:
        """What `say` gives on both sides, if both can say it."""
        source, target = say(self.source), say(self.target)
        return None if source is None or target is None else (source, target)


def _moment(random: Random) -> datetime.datetime:
    return _START + datetime.timedelta(
        days=random.randrange(_DAYS), seconds=random.randrange(86400)
    )


def _number(random: Random, *, powers: float, digits: int) -> Decimal:
    """A positive number, about as often small as large, with exactly `digits` decimals."""
    return round(Decimal(10 ** random.uniform(0, powers)), digits)


def date(pair: Pair, random: Random) -> Phrase | None:
    """`Tuesday, June 14, 2039`."""
    moment = _moment(random)
    if not (styles := pair.dates[moment.month - 1]):
        return None
    style = random.choice(styles)
    return pair.both(lambda side: side.date(style, moment))


def time(pair: Pair, random: Random) -> Phrase | None:
    """`3:04:03 PM`."""
    moment, style = _moment(random), random.choice(pair.times or [""])
    return pair.both(lambda side: side.time(style, moment)) if style else None


def date_time(pair: Pair, random: Random) -> Phrase | None:
    """`Jun 14, 2039, 3:04 PM`."""
    moment = _moment(random)
    styles = [style for style in pair.dates[moment.month - 1] if style in DATE_STYLES]
    if not styles or not pair.times:
        return None
    style, clock = random.choice(styles), random.choice(pair.times)
    return pair.both(
        lambda side: side.date_time(style, side.date(style, moment), side.time(clock, moment))
    )


def span(pair: Pair, random: Random) -> Phrase | None:
    """`in 3 weeks`, `2 Mondays ago`."""
    if not pair.relative:
        return None
    field, value = random.choice(pair.relative), _number(random, powers=3, digits=0)
    return pair.both(lambda side: side.quantity(side.relative[field], value))


def duration(pair: Pair, random: Random) -> Phrase | None:
    """`3 hours, 20 minutes, 5 seconds`: two to four neighbouring units."""
    many = random.randint(2, 4)
    first = random.randrange(max(len(pair.durations) - many, 0) + 1)
    units = pair.durations[first : first + many]
    if len(units) < 2 or "unit" not in pair.joins:
        return None
    values = [Decimal(random.randrange(1, DURATIONS[unit])) for unit in units]

    def say(side: Side) -> str | None:
        parts = [side.quantity(side.units[u], v) for u, v in zip(units, values, strict=True)]
        said = [part for part in parts if part is not None]
        return side.join(said, "unit") if len(said) == len(units) else None

    return pair.both(say)


def money(pair: Pair, random: Random) -> Phrase | None:
    """`1,234.50 US dollars`."""
    if not pair.money:
        return None
    currency = random.choice(pair.money)
    digits = random.choice([0, get_currency_precision(currency)])
    value = _number(random, powers=6, digits=digits)
    return pair.both(lambda side: side.quantity(side.money[currency], value))


def unit(pair: Pair, random: Random) -> Phrase | None:
    """`36.5 degrees Celsius`."""
    if not pair.units:
        return None
    name, digits = random.choice(pair.units), random.choice([0, 0, 1, 2])
    value = _number(random, powers=4, digits=digits)
    return pair.both(lambda side: side.quantity(side.units[name], value))


def compact(pair: Pair, random: Random) -> Phrase | None:
    """`1.23 million`: at most three digits count, so that no locale has to round."""
    value = Decimal(random.randrange(1, 1000)) * 10 ** random.randrange(1, 13)
    return pair.both(lambda side: side.compact(value))


def _named(field: str) -> Callable[[Pair, Random], Phrase | None]:
    def names(pair: Pair, random: Random) -> Phrase | None:
        joins = [style for style in pair.joins if style != "unit"]
        if not pair.names[field] or not joins:
            return None
        many, style = random.randint(1, 4), random.choice(joins)
        codes = random.sample(pair.names[field], k=min(many, len(pair.names[field])))
        return pair.both(
            lambda side: side.join([side.names[field][code]["other"] for code in codes], style)
        )

    return names


# What makes a phrase of a kind, and its share of the corpus in hundredths. The rest is `text`.
KINDS: dict[str, tuple[int, Callable[[Pair, Random], Phrase | None]]] = {
    "date": (16, date),
    "time": (3, time),
    "datetime": (14, date_time),
    "span": (6, span),
    "duration": (8, duration),
    "money": (14, money),
    "unit": (13, unit),
    "compact": (3, compact),
    "territories": (6, _named("territories")),
    "languages": (5, _named("languages")),
    "scripts": (2, _named("scripts")),
}
