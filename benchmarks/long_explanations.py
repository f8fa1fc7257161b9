"""Explanations of long texts: what each method, the pooled maps and paths take of memory and time.

A text classifier with two encoder layers and random weights reads texts of so many words, each of
which is a piece; what is measured does not depend on what it has learned.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from _measure import write
from torch import nn

from heedful.bench.memory import run_with_peak
from heedful.explaining.methods import find_method
from heedful.explaining.question import Question
from heedful.probing.probe import probe
from heedful.reporting.tiles import tiles_of
from heedful.tasks.classify_text.config import Config
from heedful.tasks.classify_text.task import ClassifyText
from heedful.tasks.classify_text.texts import Labelled
from heedful.training.start import build

METHODS = ("gradient-attention", "rollout", "attention")
WORDS = 500  # of the vocabulary
HEADS, LAYERS = 4, 2
MEBIBYTE = 2**20


def asked(words: int) -> tuple[nn.Module, Question]:
    """A classifier, and why a text has its label."""
    draw = np.random.default_rng(0)
    texts = [
        " ".join(_word(number) for number in draw.integers(0, WORDS, size).tolist())
        for size in (words, words // 2)
    ]
    examples = [Labelled(text, label) for text, label in zip(texts, ("yes", "no"), strict=True)]
    tables: dict[str, Any] = {
        "task": "classify-text",
        "tokens": {"kind": "words", "ngrams": 1, "max_length": words + 2},
        "model": {"name": "transformer", "layers": LAYERS, "heads": HEADS},
    }
    task = ClassifyText.fit(Config.model_validate(tables), examples)
    model = build(task).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # output layers begin at zero
            parameter.add_(0.1 * torch.randn_like(parameter))
    (answer,) = task.answer(model, task.encode(examples[:1]))
    return model, task.question(model, examples[0], answer)


def _word(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def pooled(model: nn.Module, question: Question) -> int:
    """All maps of all heads as tiles of 64 x 64 cells."""
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    with torch.inference_mode(), probe(model) as heard:
        question.scores(model, question.inputs(kept))
        return sum(len(tiles_of(heard, site)) for site in heard.sites)


def rows(words: int) -> Iterator[str]:
    model, question = asked(words)
    work: dict[str, Callable[[], object]] = {
        name: partial(find_method(name), model, question) for name in METHODS
    }
    work["every map of every head, pooled"] = partial(pooled, model, question)
    matrix = 4 * HEADS * LAYERS * words**2 / MEBIBYTE
    for name, call in work.items():
        began = time.perf_counter()
        _, peak = run_with_peak(call)
        seconds = time.perf_counter() - began
        taken = "?" if peak is None else f"{peak / MEBIBYTE:,.0f}"
        yield f"| {len(question.pieces):,} | {name} | {taken} | {matrix:,.0f} | {seconds:,.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, nargs="+", default=[1_024, 4_096, 16_384])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    list(rows(64))  # what is loaded once counts for none
    write(
        "long-explanations",
        [
            f"A classifier of {LAYERS} layers with {HEADS} heads, width 64, and attention pooling; "
            "every word is a piece. Memory is what the explanation takes at most beyond model and "
            "text, as the system counts it; beside it what the weights of all maps would take.",
            "",
            "| words | method | at most, MiB | all maps, MiB | seconds |",
            "|---|---|---|---|---|",
            *(row for words in arguments.words for row in rows(words)),
        ],
    )


if __name__ == "__main__":
    main()
