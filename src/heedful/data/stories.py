"""Questions about stories: built-in ones, and files in the format of bAbI."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.data.blank import is_blank
from heedful.data.examples import Splits
from heedful.data.files import read_lines
from heedful.data.scripts import composed
from heedful.errors import ConfigError, DataError

PEOPLE = ("Mary", "John", "Sandra", "Daniel", "Fatima", "Wei")
PLACES = ("kitchen", "garden", "office", "bedroom", "cellar", "hallway")
OBJECTS = ("apple", "milk", "lamp", "book")
GO = ("{0} went to the {1}.", "{0} moved to the {1}.", "{0} walked to the {1}.")
TAKE = ("{0} took the {1} there.", "{0} picked up the {1}.")
DROP = ("{0} put down the {1}.", "{0} left the {1} there.")
SENTENCES = (4, 12)  # of a story, from and to


@dataclass(frozen=True)
class Question:
    """A question about a story.

    Args:
        story: Its sentences.
        question: What is asked.
        answer: Empty where nobody knows it.
        facts: Numbers of the sentences that the answer follows from, where they are known.
        kind: What sort of question it is; empty where nobody says so.
        others: Other answers that are as right, or the same one in other words.
    """

    story: tuple[str, ...]
    question: str
    answer: str = ""
    facts: tuple[int, ...] = ()
    kind: str = ""
    others: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The answer, as one of several that are known."""
        return self.answer

    @property
    def right(self) -> frozenset[str]:
        """All answers that are right, as `compared`; none where nobody knows any."""
        return frozenset(compared(each) for each in (self.answer, *self.others) if each)

    @property
    def text(self) -> str:
        """The story as one text."""
        return " ".join(self.story)


def compared(answer: str) -> str:
    """Return what answers are compared by: their letters, however they are typed, large or small.

    "ROME" and "Rome" are one answer.
    """
    return composed(composed(answer).casefold())


def one_spelling(answers: Sequence[str]) -> list[str]:
    """Return each answer once, in order, in its most frequent spelling."""
    spelled = Counter(answers)
    best: dict[str, str] = {}
    for answer in sorted(spelled, key=lambda each: (-spelled[each], each)):
        best.setdefault(compared(answer), answer)
    return sorted(best.values())


def story_corpus(
    *, examples: int, dev: int, test: int, seed: int, sentences: tuple[int, int] = SENTENCES
) -> Splits[Question]:
    """Make stories of people who walk around and carry things, with a question about each.

    Where somebody is follows from one sentence; where a thing is follows from two: who had it last,
    and where that was.

    Args:
        examples: Questions over all splits, each another one.
        dev: How many of them make the dev split.
        test: How many of them make the test split.
        seed: The same seed gives the same questions.
        sentences: Of a story, from and to.

    Raises:
        ConfigError: `dev` and `test` leave nothing to train on.
    """
    if dev + test >= examples:
        raise ConfigError(
            f"examples must be more than dev + test, got {examples=}, {dev=}, {test=}"
        )
    draw, made = random.Random(seed), dict[Question, None]()
    while len(made) < examples:
        question = _asked(draw, draw.randint(*sentences))
        if question is not None:
            made[question] = None
    found = list(made)
    return Splits(train=found[dev + test :], dev=found[:dev], test=found[dev : dev + test])


def read_babi(path: Path | str, *, kind: str = "") -> list[Question]:
    """Read a file in the format of bAbI: numbered lines, of which those with tabs are questions.

    `1 Mary went to the kitchen.` begins a story, for its number is 1; behind a question stand its
    answer and the numbers of the lines that it follows from.

    Args:
        path: A UTF-8 file; `.gz` is unpacked.
        kind: What sort of questions it holds.

    Raises:
        DataError: The file is missing, damaged, empty or not UTF-8, a line has no number or not the
            next one, a question has no answer or no story, facts are no lines of its story, or
            there is no question. No line is ever skipped.
    """
    found: list[Question] = []
    story: dict[int, str] = {}
    last = 0
    for line, text in read_lines(Path(path)):
        place = f"{path}:{line}"
        digits, _, rest = text.partition(" ")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else 0
        if number != 1 and number != last + 1:
            raise DataError(
                f"{place} must begin with the number 1 or {last + 1}, got {text[:40]!r}"
            )
        story, last = ({} if number == 1 else story), number
        if "\t" in rest:
            found.append(_question(story, rest.split("\t"), place, kind))
        elif is_blank(rest):
            raise DataError(f"{place} must have a sentence behind its number, got {text!r}")
        else:
            story[number] = rest.strip()
    if not found:
        raise DataError(f"{path} must have a line with a question, a tab and an answer, got none")
    return found


def _question(story: dict[int, str], columns: Sequence[str], place: str, kind: str) -> Question:
    question, answer, *rest = (column.strip() for column in columns)
    if is_blank(question) or is_blank(answer):
        raise DataError(f"{place} must have a question and its answer, got {columns[:2]!r:.80}")
    if not story:
        raise DataError(f"{place} must have a sentence before its question, got none")
    numbers = list(story)
    known = {str(number): at for at, number in enumerate(numbers)}
    named = rest[0].split() if rest else []
    for number in named:
        if number not in known:
            raise DataError(
                f"{place} must name lines of its story as facts, {numbers[0]} to {numbers[-1]}, "
                f"got {number!r:.20}"
            )
    facts = tuple(known[number] for number in named)
    return Question(tuple(story.values()), question, answer, facts, kind)


def _asked(draw: random.Random, length: int) -> Question | None:
    """A story of so many sentences and a question; `None` where nothing can be asked of it."""
    story: list[str] = []
    where: dict[str, tuple[str, int]] = {}  # person -> place, and the sentence that says so
    has: dict[str, str] = {}  # thing -> who carries it
    things: dict[str, tuple[str, tuple[int, int]]] = {}  # thing -> its place, and the two sentences
    people = draw.sample(PEOPLE, 3)
    while len(story) < length:
        person, number = draw.choice(people), len(story)
        carried = [thing for thing, owner in has.items() if owner == person]
        free = [thing for thing in OBJECTS if thing not in has]
        act = draw.random()
        if person not in where or act < 0.5:
            here = where[person][0] if person in where else ""
            where[person] = draw.choice([place for place in PLACES if place != here]), number
            story.append(draw.choice(GO).format(person, where[person][0]))
        elif act < 0.8 and free:
            thing = draw.choice(free)
            if thing in things and things[thing][0] != where[person][0]:
                continue  # it lies elsewhere
            has[thing] = person
            story.append(draw.choice(TAKE).format(person, thing))
            things[thing] = where[person][0], (number, where[person][1])
        elif carried:
            thing = draw.choice(carried)
            del has[thing]
            story.append(draw.choice(DROP).format(person, thing))
            things[thing] = where[person][0], (number, where[person][1])
    if draw.random() < 0.5 and things:
        thing = draw.choice(sorted(things))
        place, facts = things[thing]
        if thing in has:  # it is where its owner is by now
            place, moved = where[has[thing]]
            facts = facts[0], moved
        return Question(
            tuple(story), f"Where is the {thing}?", place, tuple(sorted(facts)), "two facts"
        )
    person = draw.choice(sorted(where))
    place, fact = where[person]
    return Question(tuple(story), f"Where is {person}?", place, (fact,), "one fact")
