"""Where is the apple? Hops over sentences, BiDAF, means of both, and TF-IDF of what is related."""

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from heedful.bench.baselines import tfidf
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.stories import Question, story_corpus
from heedful.tasks.base import Task

LONG = (16, 24)  # sentences of a story, where training has twelve at most
ENDS = ".,;:!?"


def most_frequent_of_kind(task: Task[Any, Any], splits: Splits[Question]) -> list[Any]:
    """Answer with what is most frequent among questions of the kind, or among all."""
    found: dict[str, Counter[str]] = {}
    for question in splits.train:
        found.setdefault(question.kind, Counter())[question.answer] += 1
    everything = sum(found.values(), Counter[str]())
    said = {kind: answers.most_common(1)[0][0] for kind, answers in found.items()}
    rest = everything.most_common(1)[0][0]
    return [SimpleNamespace(label=said.get(each.kind, rest)) for each in splits.test]


def related(question: Question) -> str:
    """Return the question and the sentences that share a word with it, the last one first."""
    asked = _words(question.question)
    facts = [sentence for sentence in reversed(question.story) if asked & _words(sentence)]
    return " ".join([question.question, *facts])


def longer_stories(config: Any) -> Sequence[Question]:
    """Return questions about longer stories than any of the training."""
    made = story_corpus(examples=501, dev=0, test=500, seed=config.seed + 1, sentences=LONG)
    return made.test


def _words(text: str) -> set[str]:
    # words of three letters or fewer say little: "the", "is", "to"
    return {word for each in text.lower().split() if len(word := each.strip(ENDS)) > 3}


ENTRY = Entry(
    metric="accuracy",
    models={
        "memory, 3 hops": {},
        "memory, 1 hop": {"model": {"hops": 1}},
        "memory, means": {"model": {"attention": False}},
        "BiDAF": {"model": {"name": "bidaf"}},
        "BiDAF, means": {"model": {"name": "bidaf", "attention": False}},
    },
    baselines={
        "most frequent of its kind": most_frequent_of_kind,
        "TF-IDF + logistic regression": tfidf(related, ngram_range=(1, 3), sublinear_tf=True),
    },
    data="made stories of people, places and things",
    shift=("16 to 24 sentences", longer_stories),
    budget="accuracy 1",
)
