"""The 20 tasks of bAbI: a memory network that learned all of them, and what needs no network.

Errors of each task on its 1,000 test questions, and how much of the attention lies on the sentences
that the data marks as facts. Needs scikit-learn.
"""

import argparse
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import write

import heedful
from heedful.bench.entries.answer import ENTRY
from heedful.data.examples import Splits
from heedful.data.stories import Question
from heedful.tasks.answer.attention import OnFacts, attention_on_facts
from heedful.tasks.answer.config import Config
from heedful.tasks.catalog import find_task, load_config

ROOT = Path(__file__).parents[1]
ARCHIVE = ROOT / "../shared/data/babi_en.tar.xz"
FACTS = 100  # questions of each task whose attention is looked at
DRAWS = 2_000


def read() -> Config:
    """The config, whose data is unpacked where it looks for it."""
    config = load_config(ROOT / "benchmarks/configs/babi_en.toml")
    folder = ROOT / config.data.folder
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder.parent, filter="data")
    return find_task("answer").located(config)


def kinds_of(questions: list[Question]) -> list[str]:
    """The tasks, in the order of their numbers."""
    return sorted({each.kind for each in questions}, key=lambda kind: int(kind[2:]))


def wrong(said: list[Any], questions: list[Question]) -> dict[str, np.ndarray[Any, Any]]:
    """For each task, whether each of its answers is wrong, in per cent."""
    found: dict[str, list[float]] = {}
    for answer, question in zip(said, questions, strict=True):
        found.setdefault(question.kind, []).append(100.0 * (answer.label != question.answer))
    return {kind: np.array(each) for kind, each in found.items()}


def mean_error(errors: dict[str, np.ndarray[Any, Any]]) -> tuple[float, float, float]:
    """The mean over tasks and its 95 % interval, of questions drawn anew within each task."""
    draw = np.random.default_rng(0)
    means = [
        np.mean([each[draw.integers(0, len(each), len(each))].mean() for each in errors.values()])
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(np.mean([each.mean() for each in errors.values()])), float(low), float(high)


def trained(config: Config, start: int, *, attention: bool) -> tuple[heedful.Run, float]:
    """The run of one start and its seconds; one that is there already has none."""
    output = f"{config.output}{'' if attention else '-means'}{f'-{start}' if start > 1 else ''}"
    if Path(output).exists():
        return heedful.load(output), float("nan")
    model = config.model.model_copy(update={"attention": attention})
    began = time.perf_counter()
    changed = config.model_copy(update={"model": model, "output": output, "seed": start})
    return heedful.train(changed), time.perf_counter() - began


def errors_of(run: heedful.Run, split: str) -> dict[str, np.ndarray[Any, Any]]:
    """Errors of a run on a held-out split."""
    held = run.examples(split)
    return wrong(run.task.answer(run.model, run.task.encode(held)), held)


def best_start(config: Config, starts: int, *, attention: bool) -> tuple[heedful.Run, list[str]]:
    """The run whose dev error is the least, and a line for each start."""
    runs: list[tuple[float, heedful.Run]] = []
    lines: list[str] = []
    for start in range(1, starts + 1):
        run, spent = trained(config, start, attention=attention)
        dev, test = (mean_error(errors_of(run, split))[0] for split in ("dev", "test"))
        name = "memory network" if attention else "means"
        lines.append(f"| {name} | {start} | {dev:.1f} | {test:.1f} | {spent:.0f} |")
        print(lines[-1], file=sys.stderr, flush=True)
        runs.append((dev, run))
    return min(runs, key=lambda each: each[0])[1], lines


def baselines(config: Config) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Errors without a network, each task learned by itself."""
    splits: Splits[Question] = find_task("answer").read(config)
    found: dict[str, dict[str, np.ndarray[Any, Any]]] = {name: {} for name in ENTRY.baselines}
    for kind in kinds_of(splits.test):
        own = Splits(
            *(
                [e for e in part if e.kind == kind]
                for part in (splits.train, splits.dev, splits.test)
            )
        )
        for name, answers in ENTRY.baselines.items():
            found[name] |= wrong(list(answers(None, own)), own.test)
        print(kind, {name: each[kind].mean() for name, each in found.items()}, file=sys.stderr)
    return found


def facts(run: heedful.Run, questions: list[Question]) -> dict[str, OnFacts]:
    """What lies on facts, for each task."""
    found: dict[str, OnFacts] = {}
    for kind in kinds_of(questions):
        own = [each for each in questions if each.kind == kind][:FACTS]
        looked = attention_on_facts(run.task, run.model, own)
        if looked is not None:
            found[kind] = looked
    return found


def table(
    errors: dict[str, dict[str, np.ndarray[Any, Any]]], on_facts: dict[str, OnFacts]
) -> list[str]:
    """A row for each task, and their means."""
    names = list(errors)
    lines = [
        f"| task | {' | '.join(names)} | attention on facts | by chance | facts found |",
        f"|---|{'---|' * len(names)}---|---|---|",
    ]
    for kind in kinds_of([Question((), "", kind=kind) for kind in errors[names[0]]]):
        cells = " | ".join(f"{errors[name][kind].mean():.1f}" for name in names)
        seen = on_facts.get(kind)
        rest = (
            "- | - | -"
            if seen is None
            else (
                f"{100 * seen.weight:.0f} % | {100 * seen.chance:.0f} % | {100 * seen.found:.0f} %"
            )
        )
        lines.append(f"| {kind} | {cells} | {rest} |")
    means = [mean_error(errors[name]) for name in names]
    cells = " | ".join(f"**{mean:.1f}** ({low:.1f} to {high:.1f})" for mean, low, high in means)
    shares = [
        np.mean([getattr(each, key) for each in on_facts.values()])
        for key in ("weight", "chance", "found")
    ]
    return [*lines, f"| mean | {cells} | {' | '.join(f'{100 * s:.0f} %' for s in shares)} |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=3, help="trainings, of which dev chooses one")
    parser.add_argument("--means", action="store_true", help="train one without attention too")
    parser.add_argument("--print", action="store_true", help="print rows, and write no file")
    arguments = parser.parse_args()
    config = read()
    run, starts = best_start(config, arguments.starts, attention=True)
    errors = {"memory network": errors_of(run, "test")}
    shares = facts(run, run.examples("test"))
    if arguments.means:
        run, more = best_start(config, 1, attention=False)
        errors["means"], starts = errors_of(run, "test"), [*starts, *more]
    errors |= baselines(config)
    lines = [
        "Errors in per cent. The networks learned all tasks together, from 900 questions of each",
        "and 100 to choose a checkpoint and a start by; the baselines learned each task by itself.",
        "",
        "| network | start | dev | test | seconds |",
        "|---|---|---|---|---|",
        *starts,
        "",
        *table(errors, shares),
    ]
    if arguments.print:
        print("\n".join(lines))
    else:
        write("answer", lines)


if __name__ == "__main__":
    main()
