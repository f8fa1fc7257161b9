"""Phrases a second, greedy: a translator module by module, in one call, and in CTranslate2.

In turns, on tokens cut beforehand. Each engine has a process of its own, and there is a pause after
each turn: its threads go on waiting for work, and would take the cores from the other one.
CTranslate2 has no words for the demo's positions, nor for other heads at every site. So it gets
random weights of the original's sizes with sinusoidal positions, and writes as many tokens for each
batch as the original does.
"""

import argparse
import copy
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from _measure import write
from exported import by_ctranslate2, vocabularies
from torch import nn

import heedful
from heedful.bench.timing import Times, ratio
from heedful.data.ragged import Ragged
from heedful.data.tokens import BOS, EOS
from heedful.models import native_writing
from heedful.nn.low_precision import LowPrecisionLinear

Parts = list[list[int]]
Ways = dict[str, Callable[[Parts], object]]
ENGINES = {kind: f"CTranslate2 {kind}, original's sizes" for kind in ("float32", "int8")}
PAUSE = 0.25  # seconds, after which threads without work sleep


def in_8_bits(model: nn.Module) -> nn.Module:
    """A copy of which every linear layer multiplies in 8 bits."""
    model = copy.deepcopy(model)
    for name, layer in list(model.named_modules()):
        if type(layer) is nn.Linear:
            ins, outs = layer.in_features, layer.out_features
            bias = layer._parameters["bias"] is not None
            new = LowPrecisionLinear(ins, outs, bias=bias, precision="int8")
            new.weight, new.bias = layer.weight, layer.bias
            model.set_submodule(name, new.eval())
    return model


def ours(translator: Any, source: Ragged, parts: Parts) -> None:
    """Write all batches."""
    for rows in parts:
        translator._search(source, rows, 1)


def by_modules(translator: Any, source: Ragged, parts: Parts) -> None:
    """The same without the one call."""
    with mock.patch.object(native_writing, "_network_of", return_value=None):
        ours(translator, source, parts)


def theirs(translator: Any, rows: list[list[str]], lengths: list[int], parts: Parts) -> None:
    """Write as many tokens for each batch."""
    for numbers in parts:
        length = round(sum(lengths[i] for i in numbers) / len(numbers))
        translator.translate_batch(
            [rows[i] for i in numbers],
            beam_size=1,
            min_decoding_length=length,
            max_decoding_length=length,
            suppress_sequences=[["<s>"]],
        )


class Texts:
    """What is written: the tokens of some phrases, and how many the original writes for each."""

    def __init__(self, run: Any, phrases: int) -> None:
        texts = [each.source for each in run.examples("test")[:phrases]]
        known, words = run.task.vocabularies, vocabularies(run)[0]
        self.tokens = known.source.encode(texts)
        self.rows = [[words[token] for token in row] for row in self.tokens]
        written = known.target.encode(run.translator.translate(texts, beam=1))
        self.lengths = [sum(token not in (BOS, EOS) for token in row) + 1 for row in written]

    def parts(self, batch: int) -> Parts:
        """Batches of like length."""
        order = sorted(range(len(self.tokens)), key=lambda number: len(self.tokens[number]))
        return [order[i : i + batch] for i in range(0, len(order), batch)]


def our_ways(given: argparse.Namespace, folder: Path) -> tuple[Ways, Texts]:
    """Both runs, each module by module and in one call."""
    run, less = (heedful.load(path, device="cpu") for path in (given.run, given.optimised))
    texts = Texts(run, given.phrases)
    source = Ragged.pack(texts.tokens)
    lower = copy.copy(less.translator)
    lower.model = in_8_bits(lower.model)
    kinds: Ways = {
        "original, by modules": partial(by_modules, run.translator, source),
        "original": partial(ours, run.translator, source),
        "optimised": partial(ours, less.translator, source),
        "optimised, all of it in 8 bits": partial(ours, lower, source),
    }

    def with_threads(way: Callable[[Parts], object], threads: int, parts: Parts) -> None:
        torch.set_num_threads(threads)
        way(parts)

    return {
        named(kind, threads): partial(with_threads, way, threads)
        for kind, way in kinds.items()
        for threads in given.threads
    }, texts


def their_ways(given: argparse.Namespace, folder: Path) -> tuple[Ways, Texts]:
    """CTranslate2 in both precisions."""
    run = heedful.load(given.run, device="cpu")
    texts = Texts(run, given.phrases)
    engines = {
        named(name, threads): by_ctranslate2(run, folder / f"{kind}-{threads}", kind, threads)
        for kind, name in ENGINES.items()
        for threads in given.threads
    }
    return {
        name: partial(theirs, engine, texts.rows, texts.lengths) for name, engine in engines.items()
    }, texts


def named(kind: str, threads: int) -> str:
    """What a way is called in the table."""
    return f"{kind} | {threads}"


def work(
    pipe: Connection, make: Callable[..., Any], given: argparse.Namespace, folder: Path
) -> None:
    """Write as often as asked, and say how long that took."""
    ways, texts = make(given, folder)
    pipe.send((list(ways), texts))
    while (asked := pipe.recv()) is not None:
        name, batch = asked
        parts = texts.parts(batch)
        began = time.perf_counter()
        ways[name](parts)
        pipe.send(time.perf_counter() - began)


def turns(pipes: dict[str, Any], batch: int, rounds: int) -> dict[str, Times]:
    """All ways in turns, every other round backwards; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in pipes}
    for number in range(rounds + 1):
        for name in list(pipes)[:: -1 if number % 2 else 1]:
            pipes[name].send((name, batch))
            seconds[name].append(pipes[name].recv())
            time.sleep(PAUSE)
    return {name: Times(tuple(each[1:])) for name, each in seconds.items()}


def measure(given: argparse.Namespace, folder: Path) -> list[str]:
    """One table for each batch."""
    apart = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    texts: Any = None
    for make in (our_ways, their_ways):
        here, there = apart.Pipe()
        apart.Process(target=work, args=(there, make, given, folder), daemon=True).start()
        names, texts = here.recv()
        pipes |= dict.fromkeys(names, here)
    count = len(texts.tokens)
    lines = [
        f"{count} phrases of the demo's test split, greedy; "
        f"{sum(map(len, texts.tokens)) / count:.1f} tokens read",
        f"and {sum(texts.lengths) / count:.1f} written a phrase. Compared with",
        "whichever of its numbers of threads is the faster one.",
    ]
    for batch in given.batches:
        times = turns(pipes, batch, given.rounds)
        best = [
            min((times[named(name, n)] for n in given.threads), key=lambda each: each.median)
            for name in ENGINES.values()
        ]
        lines += [
            "",
            f"| batch {batch} | threads | phrases a second | against its float32 | its int8 |",
            "|---|---|---|---|---|",
        ]
        for name, each in times.items():
            compared = " | ".join(str(ratio(base, each)) for base in best)
            lines.append(f"| {name} | {count / each.median:,.0f} | {compared} |")
    for pipe in set(pipes.values()):
        pipe.send(None)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("optimised", type=Path)
    parser.add_argument("--phrases", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--dry", action="store_true", help="print, and write no file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = measure(given, Path(folder))
    print("\n".join(lines))
    if not given.dry:
        write("writing", lines)


if __name__ == "__main__":
    main()
