"""Translation of phrases: attention, none, and a memory of translations."""

from types import SimpleNamespace
from typing import Any

from heedful.bench.baselines import nearest_target
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.tasks.base import Task


def copied(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the source."""
    return [SimpleNamespace(text=example.source) for example in splits.test]


ENTRY = Entry(
    metric="chrf",
    models={
        "Transformer": {},
        "RNN, additive attention": {"model": {"name": "rnn"}},
        "RNN, no attention": {
            "model": {"name": "rnn", "attention": "none", "input_feeding": False}
        },
    },
    baselines={"the source": copied, "translation memory": nearest_target},
    data="CLDR phrases, English to Chinese",
    tables={"data": {"test": 2_000}},
    budget="chrf 0.5",
)
