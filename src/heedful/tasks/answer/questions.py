"""Questions about texts: read from files or made."""

import json
import random
import re
from pathlib import Path
from typing import Any, cast

from heedful.data.blank import is_blank
from heedful.data.examples import Splits
from heedful.data.files import read_lines
from heedful.data.scripts import composed
from heedful.data.sentences import sentences
from heedful.data.stories import Question, read_babi, story_corpus
from heedful.errors import DataError
from heedful.tasks.answer.config import BabiData, Config, JsonLinesData


def read_splits(config: Config) -> Splits[Question]:
    """Read or make the questions.

    Raises:
        ConfigError: The built-in ones cannot be made as asked.
        DataError: A file cannot be used, or an answer is no piece of its text where it must be.
    """
    data, spans = config.data, config.model.name == "bidaf"
    if isinstance(data, BabiData):
        train, dev = _parted(_babi(data, "train"), data.dev_share, config.seed)
        found = Splits(train, dev, _babi(data, "test"))
        for question in (*found.train, *found.dev, *found.test) if spans else ():
            if question.answer not in question.text:
                raise DataError(
                    f"answers must be pieces of their texts for the model bidaf, "
                    f"got {question.answer!r} to {question.question!r:.80}"
                )
        return found
    if isinstance(data, JsonLinesData):
        paths = (data.train, data.dev, data.test)
        return Splits(*(read_json_lines(path, spans=spans) if path else [] for path in paths))
    return story_corpus(**data.model_dump(exclude={"name"}), seed=config.seed)


def read_json_lines(path: Path | str, *, spans: bool) -> list[Question]:
    """Read a file with a JSON object in each line: `text`, `question` and `answer`.

    An answer is a text, or a list of texts of which each is right. The first one is learned; where
    answers must be pieces of their texts, the first that is one.

    Args:
        path: A UTF-8 file; `.gz` is unpacked.
        spans: Must an answer be a piece of its text?

    Raises:
        DataError: The file is missing, damaged, empty or not UTF-8, a line is no such object, a
            text is blank, or no answer is a piece of its text. No line is ever skipped.
    """
    found: list[Question] = []
    for number, line in read_lines(Path(path)):
        place = f"{path}:{number}"
        plain = _object(composed(line), place)
        text, question = (_text(plain.get(key), key, place) for key in ("text", "question"))
        story, given = _sentences(text), plain.get("answer")
        several = cast(list[Any], given) if isinstance(given, list) and given else [given]
        answers = [" ".join(_text(each, "answer", place).split()) for each in several]
        answer = _piece(place, " ".join(story), answers) if spans else answers[0]
        others = tuple(each for each in dict.fromkeys(answers) if each != answer)
        found.append(Question(story, " ".join(question.split()), answer, others=others))
    return found


def parse_question(text: str) -> Question:
    """Take a JSON object with `text` and `question`, or both in a line with ` | ` between them.

    Raises:
        DataError: It is neither.
    """
    if text.lstrip().startswith("{"):
        place = "what is asked"
        plain = _object(text, place)
        story, question = (_text(plain.get(key), key, place) for key in ("text", "question"))
    else:
        story, _, question = (part.strip() for part in text.rpartition(" | "))
    if is_blank(story) or is_blank(question):
        raise DataError(f"a question must stand behind its text and ' | ', got {text!r:.80}")
    return Question(_sentences(story), question)


def _sentences(text: str) -> tuple[str, ...]:
    stripped = (" ".join(sentence.split()) for sentence in sentences(text.strip()))
    return tuple(sentence for sentence in stripped if not is_blank(sentence))


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{place} must be a JSON object, got {line!r:.60}")
    return cast(dict[str, Any], found)


def _text(value: Any, key: str, place: str) -> str:
    if not isinstance(value, str) or is_blank(value):
        raise DataError(f"{place} must have a text as its {key!r}, got {value!r:.60}")
    if re.search("[\ud800-\udfff]", value):  # JSON can say half of a pair, UTF-8 cannot
        raise DataError(f"{place} must have UTF-8 as its {key!r}, got {value!r:.60}")
    return value


def _piece(place: str, text: str, answers: list[str]) -> str:
    """The first of the answers that is a piece of the text."""
    for answer in answers:
        if answer in text:
            return answer
    got = answers[0] if len(answers) == 1 else answers
    raise DataError(
        f"{place} must have an answer that is a piece of its text, got {got!r:.60}. "
        "Others are learned by the model memory."
    )


def _babi(data: BabiData, split: str) -> list[Question]:
    folder, found = Path(data.folder), list[tuple[int, Path]]()
    for path in folder.glob(f"qa*_{split}.txt"):
        number = re.match(r"qa(\d{1,6})_", path.name)
        if number is not None and (not data.tasks or int(number[1]) in data.tasks):
            found.append((int(number[1]), path))
    for number in data.tasks or (() if found else (1,)):
        if number not in dict(found):
            raise DataError(f"{folder} must have a file qa{number}_*_{split}.txt, got none")
    return [each for number, path in sorted(found) for each in read_babi(path, kind=f"qa{number}")]


def _parted(
    questions: list[Question], share: float, seed: int
) -> tuple[list[Question], list[Question]]:
    """Train and dev of each kind, with all questions about one story on one side."""
    by_kind: dict[str, list[list[Question]]] = {}
    for question in questions:
        stories = by_kind.setdefault(question.kind, [])
        before = stories[-1][-1].story if stories else ("",)
        if question.story[: len(before)] == before:  # a story goes on after a question
            stories[-1].append(question)
        else:
            stories.append([question])
    train, dev, draw = list[Question](), list[Question](), random.Random(seed)
    for stories in by_kind.values():
        draw.shuffle(stories)
        wanted = share * sum(map(len, stories))
        for story in stories:
            side = dev if wanted > 0 else train
            wanted -= len(story) if wanted > 0 else 0
            side += story
    return train, dev
