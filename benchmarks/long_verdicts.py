"""The verdict on explanations of long texts: its memory, its time, and whether it is right.

A text classifier of two encoder layers learns which of two families of words a text has more of.
It reads a long text in which some passages hold many words of one family, and each map is judged
in stretches of neighbouring words: its own, and the same with its stretches shuffled.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from _measure import write
from torch import nn

from heedful.bench.memory import run_with_peak
from heedful.explaining.explain import tested
from heedful.explaining.explanation import Explanation, Verdict
from heedful.explaining.maps import Maps
from heedful.explaining.methods import Method, find_method
from heedful.explaining.question import Question
from heedful.explaining.randomised import randomised
from heedful.explaining.removal import KeptScores
from heedful.explaining.stretches import in_stretches
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_text.texts import Labelled
from heedful.training.run import Run
from heedful.training.start import train

WORDS, FAMILY = 400, 20  # of the vocabulary; the first ones are of one label, the next of the other
PASSAGES, LONG = 6, 100  # passages of so many words, every second of which is of the family
COPIES = 8  # two batches of the longest texts
MEBIBYTE = 2**20


def word(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:03d}")


def short_text(draw: np.random.Generator, label: int) -> str:
    numbers = draw.integers(2 * FAMILY, WORDS, draw.integers(30, 60))
    there = draw.permutation(len(numbers))[: draw.integers(4, 9)]
    numbers[there] = draw.integers(0, FAMILY, len(there)) + label * FAMILY
    other = draw.integers(len(numbers))
    numbers[other] = draw.integers(0, FAMILY) + (1 - label) * FAMILY
    return " ".join(map(word, numbers.tolist()))


def long_text(draw: np.random.Generator, words: int) -> str:
    numbers = draw.integers(2 * FAMILY, WORDS, words)
    for start in draw.permutation(words // LONG)[:PASSAGES] * LONG:
        numbers[start : start + LONG : 2] = draw.integers(0, FAMILY, LONG // 2)
    return " ".join(map(word, numbers.tolist()))


def learned(folder: Path, steps: int, longest: int) -> Run:
    draw = np.random.default_rng(0)
    for split, count in (("train", 2_000), ("dev", 200)):
        lines = [f"{short_text(draw, n % 2)}\t{'yn'[n % 2]}" for n in range(count)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    data = {"name": "table", **{split: str(folder / f"{split}.tsv") for split in ("train", "dev")}}
    tables: dict[str, Any] = {
        "task": "classify-text",
        "data": data,
        "tokens": {"kind": "words", "ngrams": 1, "max_length": longest + 2},
        "model": {"name": "transformer", "layers": 2, "heads": 4},
        "train": {"steps": steps},
        "output": str(folder / "run"),
    }
    return train(parse_config(tables))


def row(
    model: nn.Module, question: Question, name: str, draws: int, method: Method
) -> tuple[str, Verdict]:
    """Judge a map, and tell what that took."""
    weights = method(model, question).weights
    found = Explanation(
        pieces=question.pieces,
        targets=question.targets,
        weights=weights,
        method=name,
        removal=question.removal,
    )
    began = time.perf_counter()
    judged, peak = run_with_peak(lambda: tested(model, question, found, method, draws, 0))
    seconds = time.perf_counter() - began
    verdict = cast(Verdict, judged.verdict)
    taken = "?" if peak is None else f"{peak / MEBIBYTE:,.0f}"
    fell, kept = verdict.comprehensiveness, verdict.sufficiency
    line = (
        f"| {len(question.pieces):,} | {name} | {verdict.stretches} | {draws} | {verdict.word} | "
        f"{fell.value:.2f} / {fell.random:.2f} (p {fell.p:.3f}) | "
        f"{kept.value:.2f} / {kept.random:.2f} (p {kept.p:.3f}) | {verdict.resemblance:.2f} | "
        f"{taken} | {seconds:,.0f} |"
    )
    print(line, flush=True)
    return line, verdict


def parts(model: nn.Module, question: Question, method: Method) -> Iterator[str]:
    """Take what a verdict is made of, some of each, where all of it would take too long."""
    cut = in_stretches(question)
    asked = question if cut is None else cut[0]
    kept = np.random.default_rng(0).random((COPIES, len(asked.pieces))) < 0.9
    calls: dict[str, Callable[[], object]] = {
        "a map of random weights": lambda: method(randomised(model, seed=0), asked),
        f"{COPIES} copies with nine stretches of ten": lambda: KeptScores(model, asked).of(kept),
    }
    for name, call in calls.items():
        began = time.perf_counter()
        _, peak = run_with_peak(call)
        taken = "?" if peak is None else f"{peak / MEBIBYTE:,.0f}"
        line = (
            f"| {len(question.pieces):,} | {name} | {taken} | {time.perf_counter() - began:,.1f} |"
        )
        print(line, flush=True)
        yield line


def shuffled(method: Method) -> Callable[[nn.Module, Question], Maps]:
    """The same map, whose pieces change places in lots of a stretch."""

    def changed(model: nn.Module, question: Question) -> Maps:
        found = method(model, question)
        lots = np.array_split(np.arange(len(question.pieces)), min(128, len(question.pieces)))
        order = np.random.default_rng(1).permutation(len(lots))
        weights = found.weights[:, np.concatenate([lots[lot] for lot in order])]
        return Maps(weights, found.error)

    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, nargs="+", default=[1_024, 4_096])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--parts", type=int, nargs="*", default=[], help="words of longer texts")
    parser.add_argument("--plain", action="store_true", help="without the shuffled maps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    method, lines, some = find_method("gradient-attention"), list[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        longest = max(arguments.words + arguments.parts)
        run = learned(Path(folder), arguments.steps, longest)
        model, task = run.model, run.task
        for words in arguments.words + arguments.parts:
            example = Labelled(long_text(np.random.default_rng(2), words))
            with torch.inference_mode():
                (answer,) = task.answer(model, task.encode([example]))
            question = task.question(model, example, answer)
            if words in arguments.parts:
                some += parts(model, question, method)
                continue
            lines.append(row(model, question, "its own", arguments.draws, method)[0])
            if not arguments.plain:
                changed = shuffled(method)
                lines.append(row(model, question, "shuffled", arguments.draws, changed)[0])
    write(
        "long-verdicts",
        [
            "A classifier of 2 layers with 4 heads, width 64, and attention pooling; every word is "
            f"a piece. {PASSAGES} passages of {LONG} words hold what decides. The map is that of "
            "gradient x attention; falls of the score are beside those of random maps. Memory is "
            "what the verdict takes at most beyond model and text, as the system counts it.",
            "",
            "| words | map | stretches | draws | verdict | without its first | with them alone | "
            "resemblance | at most, MiB | seconds |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *lines,
            "",
            "| words | part of a verdict | at most, MiB | seconds |",
            "|---|---|---|---|",
            *some,
        ],
    )


if __name__ == "__main__":
    main()
