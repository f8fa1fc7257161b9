"""Which episode does a user see next? Attention over the history, its mean, and linear models."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.tasks.recommend.histories import SPECIAL, History, read_splits
from heedful.tasks.recommend.ranking import Answer
from heedful.tasks.recommend.task import Recommend

Floats = NDArray[np.floating[Any]]
STRENGTHS = (30.0, 100.0, 300.0, 1000.0)  # of regularisation


def most_popular(task: Any, splits: Splits[History]) -> list[Answer]:
    """Recommend what most users had."""
    counts = _had(task, _whole(splits.train)).sum(0)
    return _answers(task, np.tile(counts, (len(splits.test), 1)), splits.test)


def item_neighbours(task: Any, splits: Splits[History]) -> list[Answer]:
    """Recommend what users had who had the same: cosines between items, summed over the history.

    Source:
        Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms",
        section 3.
    """
    had = _had(task, _whole(splits.train))
    together = had.T @ had
    norms = np.sqrt(np.maximum(together.diagonal(), 1))
    cosines = together / norms / norms[:, None]
    np.fill_diagonal(cosines, 0)
    return _linear(task, cosines, splits.test)


def closed_form(task: Any, splits: Splits[History]) -> list[Answer]:
    """Recommend by a linear model from items to items without a diagonal, strongest on dev.

    Source:
        Steck 2019, arXiv:1905.03375, equation 8 (EASE).
    """
    had = _had(task, _whole(splits.train)).astype(np.float64)
    models: list[Floats] = []
    for strength in STRENGTHS:
        inverse = np.linalg.inv(had.T @ had + strength * np.eye(had.shape[1]))
        weights = -inverse / inverse.diagonal()
        np.fill_diagonal(weights, 0)
        models.append(weights.astype(np.float32))
    gain = Recommend.metrics[0]

    def score(weights: Floats) -> float:
        return gain.score(gain.statistics(_linear(task, weights, splits.dev), splits.dev))

    return _linear(task, max(models, key=score), splits.test)


def new_users(config: Any) -> list[History]:
    """Make users whom training never met."""
    users = config.data.model_copy(update={"users": 1_000})
    return read_splits(users, config.seed + 1).test


def _whole(examples: Sequence[History]) -> list[Sequence[str]]:
    return [(*each.items, *each.relevant) for each in examples]


def _had(task: Recommend, users: Sequence[Sequence[str]]) -> Floats:
    """Who had what, `(users, items)`."""
    had = np.zeros((len(users), len(task.names)), np.float32)
    for row, items in enumerate(users):
        known = [task.items[item] - SPECIAL for item in items if item in task.items]
        had[row, known] = 1
    return had


def _linear(task: Recommend, weights: Floats, examples: Sequence[History]) -> list[Answer]:
    return _answers(task, _had(task, [each.items for each in examples]) @ weights, examples)


def _answers(task: Recommend, scores: Floats, examples: Sequence[History]) -> list[Answer]:
    return list(task.ranked(scores, task.encode(examples), range(len(examples))))


ENTRY = Entry(
    metric="ndcg@10",
    models={
        "SASRec": {},
        "SASRec, mean of the history": {"model": {"attention": False}},
        "DIN": {"model": {"name": "din"}},
        "DIN, mean of the history": {"model": {"name": "din", "attention": False}},
    },
    baselines=cast(
        Any,
        {
            "most popular": most_popular,
            "item neighbours": item_neighbours,
            "EASE": closed_form,
        },
    ),
    data="planted interests",
    budget="ndcg@10 1",
    shift=("new users", new_users),
)
