"""Translation of phrases: attention, none, and a memory of translations."""

from types import SimpleNamespace
from typing import Any

from heedful.bench.baselines import sklearn
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.tasks.base import Task


def copied(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the source."""
    return [SimpleNamespace(text=example.source) for example in splits.test]


def remembered(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the translation of the training phrase that is most like the source."""
    settings = {"analyzer": "char_wb", "ngram_range": (1, 4), "sublinear_tf": True}
    vectors = sklearn("feature_extraction.text").TfidfVectorizer(**settings)
    known = vectors.fit_transform([example.source for example in splits.train])
    asked = vectors.transform([example.source for example in splits.test])
    nearest = (asked @ known.T).toarray().argmax(1).tolist()
    return [SimpleNamespace(text=splits.train[row].target) for row in nearest]


ENTRY = Entry(
    metric="chrf",
    models={
        "Transformer": {},
        "RNN, additive attention": {"model": {"name": "rnn"}},
        "RNN, no attention": {
            "model": {"name": "rnn", "attention": "none", "input_feeding": False}
        },
    },
    baselines={"the source": copied, "translation memory": remembered},
    data="CLDR phrases, English to Chinese",
    tables={"data": {"test": 2_000}},
    budget="chrf 0.5",
)
