"""The built-in translation corpus: the same Unicode CLDR phrase in two locales."""

import re
from collections.abc import Callable
from random import Random

from heedful.data.examples import Example, Splits
from heedful.data.locales import Side, parse_locale
from heedful.data.phrases import KINDS, Pair, Phrase
from heedful.errors import ConfigError

TEXT_SHARE = 10  # hundredths of the corpus; the kinds of `phrases` have the rest
LONGEST_TEXT = 80  # tokens of the source, about
_PATIENCE = 500  # fruitless draws in a row before a kind counts as used up
# A rough count of what the tokeniser "words" makes of a text; exact for Latin and Chinese.
_TOKEN = re.compile(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff]| ?[^\W\d_]+|.")
_JOINERS = {0x200C: None, 0x200D: None}  # without width: two sources must differ in more


def cldr_corpus(
    source_locale: str, target_locale: str, *, examples: int, dev: int, test: int, seed: int
) -> Splits[Example]:
    """Make a corpus of dates, quantities, names and short texts, written in two locales.

    Every source occurs once in all splits together and has one possible target.

    Args:
        source_locale: Any locale of Babel's, e.g. `en` or `pt_BR`.
        target_locale: Another one.
        examples: Distinct sources over all splits.
        dev: How many of them make the dev split.
        test: How many of them make the test split.
        seed: The same seed gives the same corpus.

    Raises:
        ConfigError: A locale is unknown, both are the same, `dev` and `test` leave nothing to
            train on, or the two locales do not share that many phrases.

    Source:
        Unicode CLDR, in the version that the installed Babel carries.
    """
    source = parse_locale("source_locale", source_locale)
    target = parse_locale("target_locale", target_locale)
    if source == target:
        raise ConfigError(
            f"target_locale must differ from source_locale, got {target_locale!r} for both"
        )
    if dev + test >= examples:
        raise ConfigError(
            f"examples must be more than dev + test, got {examples=}, {dev=}, {test=}"
        )
    found = _Draw(Pair(Side(source), Side(target)), Random(seed)).examples(examples)
    if len(found) < examples:
        raise ConfigError(
            f"examples must be at most {len(found)} for {source_locale} to {target_locale}, "
            f"got {examples}"
        )
    return Splits(train=found[dev + test :], dev=found[:dev], test=found[dev : dev + test])


class _Draw:
    """Draws phrases until every kind has its share, and never the same source twice."""

    def __init__(self, pair: Pair, random: Random) -> None:
        self._pair, self._random = pair, random
        self._found: dict[str, Example] = {}
        self._ambiguous: set[str] = set()

    def examples(self, count: int) -> list[Example]:
        """At most `count` examples in random order; fewer when every kind is used up."""
        phrases = count - count * TEXT_SHARE // 100
        kinds = dict(KINDS)
        while kinds and (missing := phrases - len(self._found)) > 0:
            shares = sum(share for share, _ in kinds.values())
            for kind, (share, make) in list(kinds.items()):
                wanted = min(-(-missing * share // shares), phrases - len(self._found))
                if not self._fill(kind, wanted, lambda make=make: make(self._pair, self._random)):
                    del kinds[kind]  # the others share what it could not give
        parts = [(e, len(_TOKEN.findall(e.source)) + 1) for e in self._found.values()]
        if parts:
            self._fill("text", count - len(self._found), lambda: self._text(parts))
        found = list(self._found.values())
        self._random.shuffle(found)
        return found

    def _fill(self, kind: str, wanted: int, make: Callable[[], Phrase | None]) -> bool:
        """Add `wanted` examples; false when the kind is used up before."""
        fruitless = 0
        while wanted > 0:
            phrase = make()
            if phrase is not None and self._add(kind, *phrase):
                fruitless, wanted = 0, wanted - 1
            elif (fruitless := fruitless + 1) == _PATIENCE:
                return False
        return True

    def _add(self, kind: str, source: str, target: str) -> bool:
        key = source.translate(_JOINERS)
        before = self._found.get(key)
        if before is None and key not in self._ambiguous:
            self._found[key] = Example(source, target, kind)
            return True
        if before is not None and before.target != target:  # rare: the tables exclude most
            del self._found[key]
            self._ambiguous.add(key)
        return False

    def _text(self, parts: list[tuple[Example, int]]) -> Phrase | None:
        """Two or more phrases as one text of up to a length drawn at random."""
        room = self._random.randint(12, LONGEST_TEXT)
        chosen: list[Example] = []
        while True:
            example, length = self._random.choice(parts)
            if length > room:
                break
            chosen.append(example)
            room -= length
        if len(chosen) < 2:
            return None
        pauses = [self._random.random() < 0.25 for _ in chosen[1:]]
        return (
            self._pair.source.text([e.source for e in chosen], pauses),
            self._pair.target.text([e.target for e in chosen], pauses),
        )
