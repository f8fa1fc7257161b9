"""Summaries: copying or not, attention or none, and sentences of the text itself."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from heedful.bench.baselines import nearest_target, sklearn
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.sentences import sentences
from heedful.tasks.base import Task

DAMPING, ROUNDS = 0.85, 50  # of the random walk over sentences
WORDS = r"[^\W\d_]+|\d+"


def lead(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the first sentence."""
    return [SimpleNamespace(text=sentences(example.source)[0].strip()) for example in splits.test]


def text_rank(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the sentence that is most like all others, and like those that are.

    Source:
        Erkan and Radev 2004, arXiv:1109.2128, section 3.3 (LexRank, continuous).
        Mihalcea and Tarau 2004, aclanthology.org/W04-3252, section 2 (TextRank).
    """
    settings = {"token_pattern": WORDS, "sublinear_tf": True}
    if all(" " not in example.source.strip() for example in splits.train):
        settings = {"analyzer": "char"}
    vectors = sklearn("feature_extraction.text").TfidfVectorizer(**settings)
    vectors.fit([example.source for example in splits.train])
    return [SimpleNamespace(text=_central(vectors, example.source)) for example in splits.test]


def _central(vectors: Any, text: str) -> str:
    parts = [sentence.strip() for sentence in sentences(text)]
    rows = vectors.transform(parts)
    likeness = (rows @ rows.T).toarray()
    steps = likeness / likeness.sum(1, keepdims=True).clip(1e-12)
    rank = np.full(len(parts), 1 / len(parts))
    for _ in range(ROUNDS):
        rank = (1 - DAMPING) / len(parts) + DAMPING * rank @ steps
    return parts[int(rank.argmax())]


ENTRY = Entry(
    metric="rougeL",
    models={
        "Transformer, copying": {},
        "Transformer, no copying": {"model": {"copying": False}},
        "RNN, additive attention": {"model": {"name": "rnn"}},
        "RNN, no attention": {"model": {"name": "rnn", "attention": "none"}},
    },
    baselines={
        "first sentence": lead,
        "central sentence": text_rank,
        "summary of the nearest text": nearest_target,
    },
    data="docstrings of the standard library, other modules",
    budget="rougeL 1",
)
