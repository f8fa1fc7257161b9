"""The verdict on explanations: time of its random maps, and how often its words are right.

Random maps are asked for in batches, no set of pieces twice, and beside it one by one, a pass for
every set of each map. Words are counted on texts whose evidence was planted.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from _measure import write
from numpy.typing import NDArray
from torch import nn

from heedful.bench.timing import Times, in_turns, ratio
from heedful.explaining._tops import Ranks, dealt_out, falls, pairs_of, ranks_of, sizes_of
from heedful.explaining.explanation import Word
from heedful.explaining.maps import Maps
from heedful.explaining.methods import METHODS, Method
from heedful.explaining.question import Question
from heedful.explaining.randomised import resemblance
from heedful.explaining.removal import KeptScores
from heedful.explaining.verdict import SHARES, judge
from heedful.tasks.classify_text.config import Config
from heedful.tasks.classify_text.task import ClassifyText
from heedful.tasks.classify_text.texts import Labelled
from heedful.testing.planted_evidence import plant_evidence
from heedful.training.run import Run
from heedful.training.start import build

DRAWS = 200
TENTH = 10  # of the maps one in so many is asked for one by one: all take as long
SOME = 100  # held-out examples of a run, of which one is chosen by its length
TEXT = (
    "the lazy dog and the quick brown fox ran over a long bridge near an old stone mill while two "
    "small birds sang on the wet roof of it all day"
)


class Asked(NamedTuple):
    """A model and what it is asked.

    Args:
        name: In the table.
        model: In evaluation.
        question: With one target or more.
    """

    name: str
    model: nn.Module
    question: Question


def classifier(network: str, words: int) -> Asked:
    """A text classifier of its default size; the time does not depend on what it has learned."""
    text = " ".join(TEXT.split()[:words])
    examples = [Labelled(text, "yes"), Labelled("so it is", "no")]
    config = Config.model_validate({"task": "classify-text", "model": {"name": network}})
    task = ClassifyText.fit(config, examples)
    model = build(task).eval()
    answer = task.answer(model, task.encode(examples[:1]))[0]
    question = task.question(model, examples[0], answer)
    return Asked(f"classify-text, {network}", model, question)


def of_run(folder: Path, words: int) -> Asked:
    """The held-out example, of some, whose input has about as many pieces."""
    run = Run(folder)
    model, examples = run.model, run.examples("test")[:SOME]
    with torch.inference_mode():
        answers = run.task.answer(model, run.task.encode(examples))
    questions = [run.task.question(model, *pair) for pair in zip(examples, answers, strict=True)]
    nearest = min(questions, key=lambda each: abs(len(each.pieces) - words))
    return Asked(f"{folder.name}, {len(nearest.targets)} targets", model, nearest)


def asked(lengths: list[int]) -> Iterator[Asked]:
    for words in lengths:
        planted = plant_evidence(pieces=words, evidence=2)
        yield Asked("planted evidence", planted.model, planted.question)
        for network in ("pooling", "lstm", "transformer"):
            yield classifier(network, words)


Pairs = list[tuple[slice, int]]  # some targets, and a size of their top sets


@torch.inference_mode()
def one_by_one(model: nn.Module, question: Question, maps: Ranks, pairs: Pairs) -> None:
    for ranks in maps:
        for some, size in pairs:
            for top in ranks[some] < size:
                for kept in (top, ~top):
                    question.scores(model, question.inputs(torch.from_numpy(kept[None])))


def in_batches(model: nn.Module, question: Question, maps: Ranks, pairs: Pairs) -> None:
    falls(KeptScores(model, question), maps, pairs)


def time_row(each: Asked, rounds: int) -> str:
    """Time all random maps in batches, beside a tenth of them one by one."""
    random = np.random.default_rng(0)
    pieces = len(each.question.pieces)
    targets = len(each.question.targets)
    pairs = pairs_of(targets, sizes_of(SHARES, pieces))
    weights = random.random((targets, pieces))
    maps = dealt_out(ranks_of(weights, random), DRAWS, random)
    ways = {
        "one by one": partial(one_by_one, each.model, each.question, maps[::TENTH], pairs),
        "in batches": partial(in_batches, each.model, each.question, maps, pairs),
    }
    times = in_turns(ways, rounds=rounds)
    alone = Times(tuple(TENTH * seconds for seconds in times["one by one"].rounds))
    together = times["in batches"]
    faster = ratio(alone, together)
    return f"| {each.name} | {pieces} | {alone.median:.3f} | {together.median:.4f} | {faster} |"


def words(runs: int, method: Method, change: Callable[[NDArray[np.float64], int], Maps]) -> str:
    """How often each word is said of the map of a method, changed in some way."""
    found: Counter[Word] = Counter()
    for seed in range(runs):
        planted = plant_evidence(seed=seed)
        maps = change(method(planted.model, planted.question).weights, seed).weights
        alike = resemblance(
            planted.model,
            planted.question,
            lambda model, question, seed=seed: change(method(model, question).weights, seed),
            maps,
            seed=seed,
        )
        found[
            judge(
                planted.model, planted.question, maps, resemblance=alike, draws=DRAWS, seed=seed
            ).word
        ] += 1
    return " | ".join(str(found[word]) for word in get_args(Word) if word != "not tested")


def as_it_is(weights: NDArray[np.float64], _seed: int) -> Maps:
    return Maps(weights)


def shuffled(weights: NDArray[np.float64], seed: int) -> Maps:
    return Maps(np.random.default_rng(seed).permuted(weights, axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--words", type=int, nargs="+", default=[8, 16, 31])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--shuffles", type=int, default=1_000)
    parser.add_argument("--run", type=Path, nargs="*", default=[], help="time these, too")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = [
        f"Scores of {DRAWS} random maps at shares of {', '.join(map(str, SHARES))} of the pieces, "
        "removed and kept alone. Classifiers have their default sizes and read characters. Seconds "
        "are medians; both ways take turns, one by one with a tenth of the maps, "
        "times ten. In short texts the same sets of words come again and again, and each is asked "
        "for once; in longer ones the arithmetic of their tokens is left.",
        "",
        "| model | words | one by one | in batches | faster |",
        "|---|---|---|---|---|",
        *(time_row(each, arguments.rounds) for each in asked(arguments.words)),
        *(
            time_row(of_run(folder, words), arguments.rounds)
            for folder in arguments.run
            for words in arguments.words
        ),
        "",
        f"Words of {arguments.runs} texts of 30 words, 3 of them planted for the answer and 3 "
        "against it.",
        "",
        "| map | runs | " + " | ".join(w for w in get_args(Word) if w != "not tested") + " |",
        "|---|---|---|---|---|---|---|",
    ]
    changes: dict[str, tuple[str, Callable[[NDArray[np.float64], int], Maps], int]] = {
        "occlusion": ("occlusion", as_it_is, arguments.runs),
        "integrated gradients": ("integrated-gradients", as_it_is, arguments.runs),
        "integrated gradients, shuffled": (
            "integrated-gradients",
            shuffled,
            arguments.shuffles,
        ),
        "integrated gradients, reversed": (
            "integrated-gradients",
            lambda weights, _: Maps(-weights),
            arguments.runs,
        ),
        "the first words, whatever they are": (
            "occlusion",
            lambda weights, _: Maps(-np.arange(float(weights.size))[None]),
            arguments.runs,
        ),
    }
    lines += [
        f"| {name} | {runs} | {words(runs, METHODS[method], change)} |"
        for name, (method, change, runs) in changes.items()
    ]
    write("explanations", lines)


if __name__ == "__main__":
    main()
