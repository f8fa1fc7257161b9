"""Which method explains which task: the first model of each, trained shortly, and its verdicts.

Methods take turns on the same held-out examples, so that they are compared in pairs. Runs are kept
in a folder and used again; how far each was trained stands in the table. Seconds are those of the
processor, so that other work beside it takes none away.
"""

import argparse
import json
import math
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import write

from heedful.bench.entry import find_entry
from heedful.errors import HeedfulError, UnsupportedError
from heedful.explaining.explain import explain_question
from heedful.explaining.explanation import Explanation, Word
from heedful.metrics.interval import wilson
from heedful.tasks.catalog import BUILT_IN, parse_config
from heedful.training.metrics import read_metrics
from heedful.training.run import Run
from heedful.training.start import train

METHODS = ("gradient-attention", "attention", "rollout", "integrated-gradients", "occlusion")
SHORT: dict[Word, str] = {
    "no better than random": "random",
    "misleading sign": "sign",
    "ignores the model": "model",
    "inconclusive": "inconclusive",
}


def run_of(task: str, limit: dict[str, float], folder: Path) -> Run:
    """A run of the first model of a task; an old one where there is one.

    Raises:
        RuntimeError: The old one is of another model.
    """
    place = folder / task
    entry = find_entry(task)
    first = next(iter(entry.models.values()))
    tables: dict[str, Any] = {**entry.tables, **first, "task": task, "output": str(place)}
    tables["train"] = {**tables.get("train", {}), **limit}
    config = parse_config(tables, name=task)
    if not (place / "run.json").exists():
        train(config)
    run = Run(place)
    if run.config.model != config.model:
        raise RuntimeError(f"{place} must be of the first model of {task}, got another")
    return run


def trained(run: Run) -> str:
    """How far it came: the step of its best checkpoint, and the score of the dev split there."""
    monitor = run.kind.monitor
    best = [each for each in read_metrics(run.folder) if each.get("best") and monitor in each]
    if not best:
        return "0 steps"
    return f"{best[-1]['step']:,} steps, {monitor} {best[-1][monitor]:.3g}"


def explained(
    run: Run, methods: Sequence[str], examples: int, seconds: float
) -> list[dict[str, Explanation | str]]:
    """For some held-out examples: what each method says of it, or why it says nothing."""
    held_out, model = run.examples("test"), run.model
    order = np.random.default_rng(0).permutation(len(held_out))[:examples].tolist()
    found: list[dict[str, Explanation | str]] = []
    until = time.process_time() + seconds
    for number in order:
        if time.process_time() > until:
            break
        example = held_out[number]
        with torch.inference_mode():
            (answer,) = run.task.answer(model, run.task.encode([example]))
        try:
            question = run.task.question(model, example, answer)
        except HeedfulError as error:
            if isinstance(error, UnsupportedError):
                return [{method: str(error) for method in methods}]
            continue  # nothing was answered of which one could ask
        said: dict[str, Explanation | str] = {}
        for method in methods:
            try:
                said[method] = explain_question(model, question, method=method)
            except UnsupportedError as error:
                said[method] = str(error)
        found.append(said)
    return found


def rows(task: str, how: str, found: list[dict[str, Explanation | str]]) -> list[dict[str, Any]]:
    """Plain data for each method of a task."""
    made: list[dict[str, Any]] = []
    first = "gradient-attention"
    for method in found[0] if found else ():
        each = [said[method] for said in found]
        judged = [one for one in each if isinstance(one, Explanation) and one.verdict]
        if not judged:
            made.append({"task": task, "trained": how, "method": method, "tested": 0})
            continue
        words = Counter(one.word for one in judged)
        effects = [one.verdict.comprehensiveness for one in judged if one.verdict]
        value, random = (float(np.mean([getattr(e, of) for e in effects])) for of in _OF)
        pairs = [
            (one.word == "verified", other.word == "verified")
            for one, other in ((said[method], said.get(first)) for said in found)
            if isinstance(one, Explanation) and isinstance(other, Explanation)
        ]
        made.append(
            {
                "task": task,
                "trained": how,
                "method": method,
                "tested": len(judged),
                "verified": words["verified"],
                "interval": wilson(words["verified"], len(judged)),
                "words": dict(words),
                "comprehensiveness": value,
                "random": random,
                "pieces": float(np.mean([len(one.pieces) for one in judged])),
                "p": sign_test(pairs) if method != first else None,
            }
        )
    return made


_OF = ("value", "random")


def sign_test(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Of pairs that differ: how likely is so uneven a split, or more so? Two-sided and exact."""
    ahead = sum(one and not other for one, other in pairs)
    behind = sum(other and not one for one, other in pairs)
    if not pairs:
        return None
    count = ahead + behind
    tail = sum(math.comb(count, k) for k in range(min(ahead, behind) + 1)) / 2**count
    return min(1.0, 2 * tail)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    if not row["tested"]:
        return (
            f"| {row['task']} | {row['trained']} | {row['method']} | | cannot be asked | | | | | |"
        )
    low, high = row["interval"]
    words = ", ".join(f"{n} {SHORT[w]}" for w, n in row["words"].items() if w in SHORT)
    p = "" if row["p"] is None else f"{row['p']:.2g}"
    return (
        f"| {row['task']} | {row['trained']} | {row['method']} | {row['tested']} | "
        f"{row['verified']} ({100 * low:.0f} to {100 * high:.0f} %) | {words} | "
        f"{row['comprehensiveness']:.3g} | {row['random']:.3g} | {p} | {row['pieces']:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of runs, old or new")
    parser.add_argument("--minutes", type=float, default=1.0, help="of training, by the clock")
    parser.add_argument("--steps", type=int, help="of training, instead of minutes")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=90.0, help="of explaining, of each task")
    parser.add_argument("--only", nargs="+", default=[task for task in BUILT_IN])
    parser.add_argument("--train-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    made: list[dict[str, Any]] = []
    steps, minutes = arguments.steps, arguments.minutes
    limit: dict[str, float] = {"minutes": minutes} if steps is None else {"steps": steps}
    for task in arguments.only:
        kept = arguments.runs / f"{task}.json"
        if not kept.exists():
            run = run_of(task, limit, arguments.runs)
            if arguments.train_only:
                continue
            found = explained(run, arguments.methods, arguments.examples, arguments.seconds)
            kept.write_text(json.dumps(rows(task, trained(run), found)))
        made += json.loads(kept.read_text())
        print(*(line(row) for row in made if row["task"] == task), sep="\n", flush=True)
    if arguments.train_only:
        return
    lines = [
        f"The first model of each task, trained on its built-in data as far as the table says; up "
        f"to {arguments.examples} held-out examples, drawn by seed 0, or as many as "
        f"{arguments.seconds:g} seconds allow, 200 random maps each. Methods take turns on "
        "the same examples; p is that of a sign test on those of which either method alone is "
        "verified, against gradient-attention.",
        "",
        "| task | trained | method | examples | verified | other words | falls | at random | p "
        "| pieces |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *map(line, made),
    ]
    write("explained-tasks", lines)


if __name__ == "__main__":
    main()
