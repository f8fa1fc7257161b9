"""The built-in labelled texts: phrases of Unicode CLDR, and the language that each is in."""

from collections import Counter
from collections.abc import Sequence
from random import Random

from heedful.data.examples import Splits
from heedful.data.locales import Side, parse_locale
from heedful.data.phrases import KINDS, Pair
from heedful.errors import ConfigError

# Forty, among them neighbours that are hard to tell apart: Danish, Norwegian and Swedish, Czech and
# Slovak, Indonesian and Malay, four Romance ones, and four that are written in Cyrillic.
LANGUAGES = (
    *("ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi"),
    *("hr", "hu", "id", "it", "ja", "ko", "lt", "ms", "nb", "nl", "pl", "pt", "ro", "ru", "sk"),
    *("sl", "sr", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh"),
)
# Bytes of letters, at least: eight Latin, four Cyrillic or three Chinese ones. Nobody can tell the
# language of "3:04", of "5 km" or of "Gabon".
LETTERS = 8
_PATIENCE = 500  # fruitless draws in a row before a language counts as used up


def language_corpus(
    languages: Sequence[str], *, examples: int, dev: int, test: int, seed: int
) -> Splits[tuple[str, str]]:
    """Make texts of dates, quantities and names in many languages, equally many of each.

    Every text occurs once in all splits together, and in one language only.

    Args:
        languages: Locales of Babel, e.g. `en` or `pt_BR`.
        examples: Texts over all splits and languages.
        dev: How many of them make the dev split.
        test: How many of them make the test split.
        seed: The same seed gives the same texts.

    Returns:
        Pairs of a text and its language, as `languages` writes it.

    Raises:
        ConfigError: A language is unknown or named twice, there are fewer than two, `dev` and
            `test` leave nothing to train on, or a language does not have so many phrases.

    Source:
        Unicode CLDR, in the version that the installed Babel carries.
    """
    locales = {language: parse_locale("languages", language) for language in languages}
    if len(languages) < 2 or len(set(map(str, locales.values()))) < len(languages):
        raise ConfigError(
            f"languages must be at least two different ones, got {', '.join(languages)}"
        )
    if dev + test >= examples:
        raise ConfigError(
            f"examples must be more than dev + test, got {examples=}, {dev=}, {test=}"
        )
    random = Random(seed)
    sides = {language: Side(locale) for language, locale in locales.items()}
    found = _draw(
        {language: Pair(side, side) for language, side in sides.items()}, examples, random
    )
    random.shuffle(found)
    return Splits(train=found[dev + test :], dev=found[:dev], test=found[dev : dev + test])


def _draw(pairs: dict[str, Pair], examples: int, random: Random) -> list[tuple[str, str]]:
    """Fill the share of each language, without texts that were drawn in two of them."""
    share, more = divmod(examples, len(pairs))
    wanted = {language: share + (place < more) for place, language in enumerate(pairs)}
    found: dict[str, str] = {}
    ambiguous: set[str] = set()
    while missing := Counter(wanted) - Counter(found.values()):
        for language, count in missing.items():
            fruitless = 0
            while count and fruitless < _PATIENCE:
                text = _phrase(pairs[language], random)
                if text is None or text in ambiguous or found.get(text) == language:
                    fruitless += 1
                elif text in found:
                    del found[text]  # its language gets another one in the next round
                    ambiguous.add(text)
                else:
                    found[text] = language
                    fruitless, count = 0, count - 1
            if count:
                most = len(pairs) * (wanted[language] - count)
                raise ConfigError(
                    f"examples must be at most about {most} for the language {language}, "
                    f"got {examples}"
                )
    return list(found.items())


def _phrase(pair: Pair, random: Random) -> str | None:
    makers, shares = zip(*((make, share) for share, make in KINDS.values()), strict=True)
    said = random.choices(makers, shares)[0](pair, random)
    if said is None or len("".join(filter(str.isalpha, said[0])).encode()) < LETTERS:
        return None
    return said[0]
