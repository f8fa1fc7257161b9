"""The random maps of a verdict: how they are asked for, and what makes that faster.

Each way takes turns with the others: maps one by one, a pass for every set of pieces of each (some
of them, scaled up); in batches of several sizes, no set twice; and whole verdicts on occlusion's
own map and on one at random, which may end with half of the draws.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _measure import write
from explanations import DRAWS, Asked, Pairs, classifier, in_batches, of_run, one_by_one

from heedful.bench.timing import Times, in_turns, ratio
from heedful.explaining import removal
from heedful.explaining._tops import Ranks, dealt_out, pairs_of, ranks_of, sizes_of
from heedful.explaining.occlusion import occlusion
from heedful.explaining.verdict import SHARES, judge

COPIES = (32, 64, 128, 256)


def ways(each: Asked, maps: Ranks, some: Ranks, pairs: Pairs) -> dict[str, Callable[[], object]]:
    """Each way by its name; the one that the package takes among them."""

    def batched(copies: int) -> None:
        before, removal.COPIES = removal.COPIES, copies
        try:
            in_batches(each.model, each.question, maps, pairs)
        finally:
            removal.COPIES = before

    good = occlusion(each.model, each.question).weights
    bad = np.random.default_rng(1).permuted(good, axis=1)
    named = {"good": good, "bad": bad}
    verdicts = {
        name: partial(judge, each.model, each.question, weights, resemblance=0.0, draws=DRAWS)
        for name, weights in named.items()
    }
    words = {name: verdict() for name, verdict in verdicts.items()}
    return {
        "one by one": partial(one_by_one, each.model, each.question, some, pairs),
        **{f"{copies} together": partial(batched, copies) for copies in COPIES},
        **{
            f"verdict on {'occlusion' if name == 'good' else 'a map at random'}: "
            f"{words[name].word}, {words[name].draws} draws": verdict
            for name, verdict in verdicts.items()
        },
    }


def rows(each: Asked, rounds: int, threads: int) -> Iterator[str]:
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    pieces, targets = len(each.question.pieces), len(each.question.targets)
    pairs = pairs_of(targets, sizes_of(SHARES, pieces))
    maps = dealt_out(ranks_of(random.random((targets, pieces)), random), DRAWS, random)
    some = maps[:: 20 if targets == 1 else 100]
    times = in_turns(ways(each, maps, some, pairs), rounds=rounds)
    scale = len(maps) / len(some)
    alone = Times(tuple(scale * seconds for seconds in times.pop("one by one").rounds))
    yield f"| {each.name} | {pieces} | {threads} | one by one | {alone.median:.3f} | |"
    for way, taken in times.items():
        yield f"| | | | {way} | {taken.median:.4f} | {ratio(alone, taken)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, nargs="+", default=[31])
    parser.add_argument("--run", type=Path, nargs="*", default=[], help="trained, time these, too")
    parser.add_argument("--run-words", type=int, default=10)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    names = ("pooling", "lstm", "transformer")
    asked = [classifier(name, words) for words in arguments.words for name in names]
    asked += [of_run(folder, arguments.run_words) for folder in arguments.run]
    lines = [
        f"{DRAWS} random maps at shares of {', '.join(map(str, SHARES))} of the pieces, removed "
        "and kept alone. Classifiers have their default sizes and read characters. Seconds are "
        f"medians of {arguments.rounds} rounds.",
        "",
        "| model | pieces | threads | way | seconds | faster than one by one |",
        "|---|---|---|---|---|---|",
        *(
            line
            for each in asked
            for threads in arguments.threads
            for line in rows(each, arguments.rounds, threads)
        ),
    ]
    write("permutation-test", lines)


if __name__ == "__main__":
    main()
