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
from heedful.data.batches import size_batches
from heedful.data.load import CldrData
from heedful.tasks.translation.config import Config, Train, TransformerModel
from heedful.tasks.translation.pairs import Pairs
from heedful.tasks.translation.task import Translation
from training import trainer

SIZES = ((128, 8), (256, 8), (512, 8))  # width, heads
TOKENS = 4_096  # a batch


def switched(way: Callable[[], None], state: str) -> Callable[[], None]:
    def run() -> None:
        os.environ["HEEDFUL_KERNELS"] = state
        way()

    return run


def compare(
    task: Translation, pairs: Pairs, width: int, heads: int, *, low: bool, rounds: int
) -> str:
    """A row of the table."""
    model = TransformerModel(width=width, heads=heads, feedforward=2 * width)
    config = Config(model=model, train=Train(steps=1, tokens_per_batch=TOKENS))
    rows = size_batches(pairs.sizes, most=TOKENS, seed=1, epoch=0)
    ways, counts = {}, {}
    for state in ("on", "off"):
        torch.manual_seed(0)
        stream = (pairs.batch(chosen, "cpu") for chosen in itertools.cycle(rows))
        way, counts[state] = trainer(
            Translation(config, task.vocabularies).build(), stream, low=low
        )
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
    parser.add_argument("--examples", type=int, default=40_000)
    parser.add_argument("--sizes", type=int, help="only the first ones")
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    arguments = parser.parse_args()
    config = Config(data=CldrData(examples=arguments.examples))
    examples = Translation.read(config).train
    task = Translation.fit(config, examples)
    pairs = task.encode(examples, training=True)
    lines = [
        f"Tokens a second (source and target, no padding) in batches of {TOKENS:,} tokens,",
        "and how many times faster a step is with the native kernel, round by round: median and",
        "middle half. A step is all of it: embeddings, projections, attention, loss, optimiser.",
        "",
        "| width | heads | precision | with | without | faster |",
        "|---|---|---|---|---|---|",
    ]
    for width, heads in SIZES[: arguments.sizes]:
        for low in (True, False):
            lines.append(compare(task, pairs, width, heads, low=low, rounds=arguments.rounds))
    print("\n".join(lines)) if arguments.dry else write("kernels-in-training", lines)


if __name__ == "__main__":
    main()
