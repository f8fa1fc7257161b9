"""Built-in reviews of phones, English and Chinese, of which the words that count are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from heedful.data.examples import Splits
from heedful.errors import ConfigError

# Opinions by how many points they are better or worse than the middle of the scale.
STRENGTHS = (-2, -1, 1, 2)
MIDDLE = 3.0
_SPREAD = 0.8  # of the opinions about one product
REVIEWS = (2, 6)  # of a product, from and to
_CLAUSES = (1, 4)  # of a review
_SILENT = 0.25  # share of reviews that say nothing about the product


@dataclass(frozen=True)
class Language:
    """What reviews in a language are made of.

    In `{aspect}` and `{opinion}` stand the words below, in `{detail}` one of `details`. A clause of
    `others` has an opinion that is not about the product.
    """

    aspects: tuple[str, ...]
    opinions: dict[int, tuple[str, ...]]
    details: tuple[str, ...]
    own: tuple[str, ...]
    others: tuple[str, ...]
    fillers: tuple[str, ...]
    comma: str
    stop: str


LANGUAGES = {
    "en": Language(
        aspects=("battery", "screen", "camera", "sound", "keyboard", "design"),
        opinions={
            -2: ("terrible", "awful", "useless"),
            -1: ("weak", "dull", "mediocre"),
            1: ("good", "decent", "nice"),
            2: ("excellent", "brilliant", "superb"),
        },
        details=("my sister", "my father", "work", "May", "June", "the holidays"),
        own=(
            "the {aspect} of this phone is {opinion}",
            "on this new one the {aspect} is {opinion}",
            "I find that its {aspect} is {opinion}",
        ),
        others=(
            "the {aspect} of the old phone is {opinion}",
            "on the previous one the {aspect} is {opinion}",
            "they say that the service is {opinion}",
            "the parcel that it came in is {opinion}",
        ),
        fillers=("I bought it for {detail}", "it was a gift for {detail}", "I use it every day"),
        comma=", ",
        stop=".",
    ),
    "zh": Language(
        aspects=("电池", "屏幕", "相机", "音质", "键盘", "做工"),
        opinions={
            -2: ("糟糕", "极差", "没用"),
            -1: ("偏弱", "一般", "平庸"),
            1: ("不错", "还行", "挺好"),
            2: ("出色", "极好", "完美"),
        },
        details=("妹妹", "父亲", "工作", "五月", "六月", "过节"),
        own=(
            "这部手机的{aspect}真的{opinion}",
            "新机的{aspect}{opinion}",
            "我觉得它的{aspect}{opinion}",
        ),
        others=(
            "旧手机的{aspect}真的{opinion}",
            "上一部的{aspect}{opinion}",
            "听说售后服务{opinion}",
            "送来的包装{opinion}",
        ),
        fillers=("为了{detail}买的", "是{detail}的时候送的", "我每天都在用"),
        comma="，",
        stop="。",
    ),
}


@dataclass(frozen=True)
class Made:
    """A product that was made.

    Args:
        reviews: Texts.
        score: The mean over its reviews that say something about it, of what their opinions are.
        evidence: Review, start and end of each opinion about it.
    """

    reviews: tuple[str, ...]
    score: float
    evidence: tuple[tuple[int, int, int], ...]


def review_corpus(
    languages: Sequence[str],
    *,
    examples: int,
    dev: int,
    test: int,
    seed: int,
    reviews: tuple[int, int] = REVIEWS,
) -> Splits[Made]:
    """Make products with reviews, equally many in each language.

    A product has a quality, and opinions about it lie around that. The same words are said about
    other things too: an old phone, the parcel, the service.

    Args:
        languages: Of `LANGUAGES`.
        examples: Products over all splits.
        dev: How many of them make the dev split.
        test: How many of them make the test split.
        seed: The same seed gives the same products.
        reviews: Of a product, from and to.

    Raises:
        ConfigError: A language is unknown, or `dev` and `test` leave nothing to train on.
    """
    for language in languages:
        if language not in LANGUAGES:
            known = ", ".join(LANGUAGES)
            raise ConfigError(f"languages must be some of {known}, got {language!r}")
    if not languages:
        raise ConfigError("languages must be one or more, got none")
    if dev + test >= examples:
        raise ConfigError(
            f"examples must be more than dev + test, got {examples=}, {dev=}, {test=}"
        )
    random, made = Random(seed), dict[tuple[str, ...], Made]()
    while len(made) < examples:
        product = _product(LANGUAGES[languages[len(made) % len(languages)]], reviews, random)
        made.setdefault(product.reviews, product)
    found = list(made.values())
    random.shuffle(found)
    return Splits(train=found[dev + test :], dev=found[:dev], test=found[dev : dev + test])


def _product(language: Language, reviews: tuple[int, int], random: Random) -> Made:
    quality = random.uniform(STRENGTHS[0], STRENGTHS[-1])
    texts: list[str] = []
    evidence: list[tuple[int, int, int]] = []
    scores: list[float] = []
    count = random.randint(*reviews)
    speaks = random.randrange(count)  # at least this one
    for number in range(count):
        silent = number != speaks and random.random() < _SILENT
        text, spans, strengths = _review(language, quality, silent, random)
        texts.append(text)
        evidence += [(number, *span) for span in spans]
        scores += [sum(strengths) / len(strengths)] if strengths else []
    return Made(tuple(texts), MIDDLE + sum(scores) / len(scores), tuple(evidence))


def _review(
    language: Language, quality: float, silent: bool, random: Random
) -> tuple[str, list[tuple[int, int]], list[int]]:
    """A text, where its opinions about the product stand, and how strong they are."""
    own = [not silent] + [not silent and random.random() < 0.5 for _ in range(_CLAUSES[1] - 1)]
    own = own[: random.randint(*_CLAUSES)]
    random.shuffle(own)
    text, spans, strengths = "", list[tuple[int, int]](), list[int]()
    for place, counts in enumerate(own):
        about = counts or random.random() < 0.6
        wanted = quality + random.gauss(0, _SPREAD) if counts else random.uniform(-2.5, 2.5)
        strength = min(STRENGTHS, key=lambda each: abs(each - wanted))
        opinion = random.choice(language.opinions[strength])
        templates = language.own if counts else language.others if about else language.fillers
        clause = random.choice(templates).format(
            aspect=random.choice(language.aspects),
            opinion=opinion,
            detail=random.choice(language.details),
        )
        text += (language.comma if place else "") + clause
        if counts:
            spans.append((len(text) - len(opinion), len(text)))
            strengths.append(strength)
    return text + language.stop, spans, strengths
