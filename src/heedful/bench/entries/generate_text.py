"""The next character of a text: attention, an LSTM, and n-grams that are counted."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from heedful.bench.entry import Entry
from heedful.data.docstrings import docstrings
from heedful.data.examples import Splits
from heedful.data.kneser_ney import KneserNey
from heedful.tasks.base import Task
from heedful.tasks.generate_text.passages import Passage, cut

ORDERS = range(2, 10)  # tokens of the longest n-grams
FOREIGN = 200  # passages of another text


def frequencies(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with how often each token is, whatever stands before it."""
    return _bits(task, _counted(task, splits, 1), splits.test)


def kneser_ney(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with n-grams, as long as is best on the dev split."""
    models = [_counted(task, splits, order) for order in ORDERS]
    best = min(models, key=lambda model: sum(x.bits for x in _bits(task, model, splits.dev)))
    return _bits(task, best, splits.test)


def docstrings_of_modules(config: Any) -> list[Passage]:
    """Return passages of another text: docstrings of the standard library, on Python too."""
    splits = docstrings(dev=0.1, test=0.1, seed=config.seed)
    text = "\n\n".join(f"{each.target}\n\n{each.source}" for each in splits.test)
    return cut(text, length=config.data.passage, before=config.data.before)[:FOREIGN]


def _counted(task: Any, splits: Splits[Any], order: int) -> KneserNey:
    text = task.encode(splits.train).text.flat
    return KneserNey(text, size=task.vocabulary.size, order=order)


def _bits(task: Any, model: KneserNey, examples: Sequence[Any]) -> list[Any]:
    data = task.encode(examples)
    found: list[Any] = []
    for row, characters in enumerate(data.characters.tolist()):
        own = model.log_probabilities(data.tokens(row))[max(int(data.before.lengths[row]), 1) :]
        found.append(SimpleNamespace(bits=-own.sum() / math.log(2), characters=characters))
    return found


ENTRY = Entry(
    metric="bits_per_character",
    models={
        "Transformer": {},
        "LSTM": {"model": {"name": "lstm", "width": 224}},
    },
    baselines={"letter frequencies": frequencies, "Kneser-Ney n-grams": kneser_ney},
    data="Python's language reference",
    shift=("docstrings of modules", docstrings_of_modules),
    budget="bits_per_character 2%",
)
