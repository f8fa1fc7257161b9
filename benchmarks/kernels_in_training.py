"""How much faster the translator trains with the native kernel than without it.

The same model on the same batches, in turns: once with `HEEDFUL_KERNELS=on`, once with `off`, where
torch's kernel runs, or two plain products in half precision. The first size is the demo's.
"""

import argparse
import itertools
import os
from collections.abc import Callable

import torch
from _measure import write

from heedful.bench.timing import Times, in_turns, ratio
from heedful.data.batches import token_batches
from heedful.data.load import CldrData, load_data
from heedful.tasks.pairs import train_vocabularies
from heedful.tasks.translation import Corpus, build_model, encode_splits
from heedful.tasks.translation_config import Config, Train, TransformerModel
from training import trainer

SIZES = ((128, 8), (256, 8), (512, 8))  # width, heads
TOKENS = 4_096  # a batch


def switched(way: Callable[[], None], state: str) -> Callable[[], None]:
    def run() -> None:
        os.environ["HEEDFUL_KERNELS"] = state
        way()

    return run


def compare(corpus: Corpus, width: int, heads: int, *, low: bool, rounds: int) -> str:
    """A row of the table."""
    model = TransformerModel(width=width, heads=heads, feedforward=2 * width)
    config = Config(model=model, train=Train(steps=1, tokens_per_batch=TOKENS))
    rows = token_batches(corpus.train.lengths, tokens_per_batch=TOKENS, seed=1, epoch=0)
    ways, counts = {}, {}
    for state in ("on", "off"):
        torch.manual_seed(0)
        stream = (corpus.train.batch(chosen, "cpu") for chosen in itertools.cycle(rows))
        way, counts[state] = trainer(build_model(config, corpus.vocabularies), stream, low=low)
        ways[state] = switched(way, state)
    times = in_turns(ways, rounds=rounds)
    # both see the same batches in the same order, so rounds compare as they are
    tokens = {state: counts[state][1:] for state in ways}
    assert tokens["on"] == tokens["off"]  # noqa: S101
    cells = [f"{speed(times[state], tokens[state]):,.0f}" for state in ways]
    precision = "bf16" if low else "fp32"
    faster = ratio(times["off"], times["on"])
    return f"| {width} | {heads} | {precision} | {' | '.join(cells)} | {faster} |"


def speed(times: Times, tokens: list[int]) -> float:
    return sum(tokens) / sum(times.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    config = Config(data=CldrData(examples=40_000))
    splits = load_data(config.data, seed=1)
    corpus = encode_splits(config, splits, train_vocabularies(config, splits.train))
    lines = [
        f"Tokens a second (source and target, no padding) in batches of {TOKENS:,} tokens,",
        "and how many times faster a step is with the native kernel, round by round: median and",
        "middle half. A step is all of it: embeddings, projections, attention, loss, optimiser.",
        "",
        "| width | heads | precision | with | without | faster |",
        "|---|---|---|---|---|---|",
    ]
    for width, heads in SIZES:
        for low in (True, False):
            lines.append(compare(corpus, width, heads, low=low, rounds=arguments.rounds))
    write("kernels-in-training", lines)


if __name__ == "__main__":
    main()
