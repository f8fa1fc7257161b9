"""An optimised translator against Torch-Pruning, a smaller one, and the same one trained longer.

All get as much time in all: what the run was trained for and what optimising it took. From the same
checkpoint, Torch-Pruning removes heads (group Taylor importance, all sites ranked together or each
alone) until attention takes about as many operations, then our healing goes on for as long as
optimising took. The smaller translator is the one that takes about as long for the same work,
trained from scratch.

Torch-Pruning is no dependency: `pip install --target FOLDER --no-deps torch-pruning`, and
`PYTHONPATH=FOLDER`.
"""

import argparse
import copy
import importlib
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _measure import write
from _torch_pruning import pruned
from _translator import attention_operations, going_on, opened, progress_of, verdict_on
from torch import nn

from heedful.bench.timing import Ratio, in_turns, ratio
from heedful.files import read_json
from heedful.optimizing.budget import Budget
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.of_run import problem_of_run
from heedful.optimizing.operations import parameters
from heedful.optimizing.problem import Problem
from heedful.optimizing.verdict import Verdict
from heedful.tasks.translation.config import Config, TransformerModel
from heedful.tasks.translation.task import Translation
from heedful.training.run import Run
from heedful.training.start import train

ROUNDS = 9  # of the final timings
CHOOSING = 5  # rounds of those that a smaller translator is chosen by
PROBED = 30  # steps of healing that tell how long one takes
SMALLER: dict[str, dict[str, int]] = {
    "1 key/value head": {"kv_heads": 1},
    "2 heads of 64": {"heads": 2},
    "width 96": {"width": 96},
    "width 64": {"width": 64, "feedforward": 128},
    "1 encoder layer": {"encoder_layers": 1},
    "1 decoder layer": {"decoder_layers": 1},
    "1 + 1 layers": {"encoder_layers": 1, "decoder_layers": 1},
    "1 + 1 layers, 1 key/value head": {"encoder_layers": 1, "decoder_layers": 1, "kv_heads": 1},
    "1 + 1 layers, width 96": {"encoder_layers": 1, "decoder_layers": 1, "width": 96},
    "1 + 1 layers, width 64": {
        "encoder_layers": 1,
        "decoder_layers": 1,
        "width": 64,
        "feedforward": 128,
    },
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One translator.

    Args:
        name: In the table.
        model: That writes.
        seconds: All that went into it, the training of the original included.
        cut: The score right after pruning, before healing.
        said: What else must be known.
    """

    name: str
    model: nn.Module
    seconds: float
    cut: float | None = None
    said: str = ""


def by_torch_pruning(
    pruning: Any,
    problem: Problem,
    operations: float,
    budget: float,
    before: float,
    steps: int | None,
) -> Way:
    """Prune, then heal until the time that optimising took is over.

    Args:
        pruning: The package.
        subject: With the original.
        operations: To come close to.
        budget: Seconds for all of it.
        before: Seconds that the training took.
        steps: Of healing; `None` means as many as there is time for.
    """
    began = time.monotonic()
    model, said = pruned(pruning, problem, operations)
    cut = problem.metric.score(problem.statistics(model, "test"))
    if steps is None:
        probe = copy.deepcopy(model)
        finetune(probe, problem, Finetuning(steps=5))
        started = time.monotonic()
        finetune(probe, problem, Finetuning(steps=PROBED))
        each = (time.monotonic() - started) / PROBED
        # neither choosing how many heads go nor the probe is held against it
        steps = max(1, int(budget / each))
    began = time.monotonic()
    finetune(model, going_on(problem, 0), Finetuning(steps=steps))
    seconds = time.monotonic() - began
    model.eval()
    said = f"{said}; {steps} steps of healing in {seconds:.0f} s"
    return Way(
        name="Torch-Pruning, healed by us",
        model=model,
        seconds=before + seconds,
        cut=cut,
        said=said,
    )


def smaller(
    run: Run, problem: Problem, optimised: nn.Module, kept: Path
) -> tuple[str, TransformerModel]:
    """The one that takes about as long for the same work; one that is kept stays the choice.

    Writing itself would not do: a model that was not trained does not know when to end.
    """
    original = run.config.model
    if not isinstance(original, TransformerModel):
        raise SystemExit(f"the run must be a Transformer, got {original.name}")
    models = {name: original.model_copy(update=changes) for name, changes in SMALLER.items()}
    if (kept / "run.json").is_file():
        there = Run(kept).config.model
        models = {name: model for name, model in models.items() if model == there}
        if not models:
            raise SystemExit(f"{kept} must hold one of the smaller translators, got {there}")
    built = {
        name: Translation(run.config.model_copy(update={"model": model}), run.task.vocabularies)
        .build()
        .eval()
        for name, model in models.items()
    }
    ways: dict[str, Callable[[], object]] = {"": lambda: problem.work(optimised)}
    ways |= {name: lambda model=model: problem.work(model) for name, model in built.items()}
    times = in_turns(ways, rounds=CHOOSING)
    ratios = {name: ratio(times[""], times[name]).median for name in models}
    for name, value in ratios.items():
        print(f"{name}: {value:.2f}x as fast as the optimised one", file=sys.stderr)
    name = min(ratios, key=lambda name: abs(math.log(ratios[name])))
    return f"{name}, {ratios[name]:.2f}x as fast at the same work", models[name]


def trained(folder: Path, run: Run, model: Any, minutes: float) -> Run:
    """A run of the same settings; one that is there is gone on with, and kept when it is done."""
    if (folder / "run.json").is_file():
        there = Run(folder).config.train.minutes or 0.0
        if abs(there - minutes) > 0.01 * minutes:
            raise SystemExit(
                f"{folder} must have {minutes:.2f} minutes, got {there:.2f}; delete it"
            )
        return train(resume=folder)
    settings = run.config.train.model_copy(
        update={
            "minutes": minutes,
            "steps": None,
            "epochs": None,
            "patience": None,
            "precision": run.about["precision"],
        }
    )
    changes = {"output": str(folder), "model": model, "train": settings}
    config: Config = run.config.model_copy(update=changes)
    return train(config)


def from_scratch(name: str, folder: Path, run: Run, model: Any, minutes: float) -> Way:
    new = trained(folder, run, model, minutes)
    steps, seconds = progress_of(new.folder)
    wanted, got = run.task.vocabularies, new.task.vocabularies
    if (wanted.source.size, wanted.target.size) != (got.source.size, got.target.size):
        raise SystemExit(f"{folder} must have the vocabularies of {run.folder}, got others")
    network = new.translator.model
    return Way(name=name, model=network, seconds=seconds, said=f"{steps:,} steps of training")


def line(way: Way, problem: Problem, verdict: Verdict, speed: Ratio, before: int) -> str:
    operations = attention_operations(problem, way.model)
    ours = parameters(way.model)
    cut = "-" if way.cut is None else f"{way.cut:.2f}"
    return (
        f"| {way.name} | {verdict.before:.2f} | {cut} | {verdict.after:.2f} "
        f"| {verdict.difference:+.2f} | {verdict.bound:+.2f} "
        f"| {'yes' if verdict.accepted else 'no'} | {speed} | {operations / 1e6:,.1f} M "
        f"| {ours:,} ({100 * ours / before:.0f} %) | {way.seconds / 60:.1f} |"
    )


def table(problem: Problem, ways: list[Way], budget: Budget) -> list[str]:
    """All of them, timed together in turns, and judged on the test split."""
    times = in_turns(
        {str(i): lambda way=way: problem.use(way.model) for i, way in enumerate(ways)},
        rounds=ROUNDS,
    )
    before = problem.statistics(problem.model, "test")
    lines = [
        f"| translator | {budget.metric} before | right after pruning | after | difference "
        "| bound | within the budget | writing faster | attention operations "
        "| parameters | minutes in all |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for i, way in enumerate(ways):
        verdict = verdict_on(problem, before, way.model, budget)
        speed = ratio(times["0"], times[str(i)])
        lines.append(line(way, problem, verdict, speed, parameters(problem.model)))
    lines += ["", "What each is:", ""]
    lines += [f"* {way.name}: {way.said}" for way in ways if way.said]
    milliseconds = 1e3 * statistics.median(times["0"].rounds)
    return [*lines, f"* the original writes the phrases that are timed in {milliseconds:.0f} ms"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--optimised", type=Path, required=True, help="what heedful made of RUN")
    parser.add_argument("--runs", type=Path, default=Path("runs/against-others"))
    parser.add_argument(
        "--minutes", type=float, help="in all; as RUN and optimising it unless said"
    )
    parser.add_argument("--steps", type=int, help="of healing behind Torch-Pruning")
    parser.add_argument("--examples", type=int, help="of the test split; all unless said")
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    arguments = parser.parse_args()
    try:
        pruning: Any = importlib.import_module("torch_pruning")
    except ImportError:
        raise SystemExit("torch-pruning must be there, got none; see --help") from None
    report = read_json(arguments.optimised / "report.json")
    quality = report["quality"]
    budget = Budget(metric=quality["metric"], margin=quality["budget"])
    run = opened(arguments.run, arguments.examples)
    problem = problem_of_run(run, budget.metric)
    training = progress_of(arguments.run)[1]
    total = 60 * arguments.minutes if arguments.minutes else training + report["seconds"]
    optimised = opened(arguments.optimised, arguments.examples).translator.model
    operations = attention_operations(problem, optimised)
    ways = [
        Way(name="original", model=problem.model, seconds=training),
        Way(name="heedful", model=optimised, seconds=training + report["seconds"]),
    ]
    left = total - training if arguments.minutes else report["seconds"]
    ways.append(
        by_torch_pruning(pruning, problem, operations, max(0.0, left), training, arguments.steps)
    )
    said, model = smaller(run, problem, optimised, arguments.runs / "smaller")
    new = from_scratch("smaller, from scratch", arguments.runs / "smaller", run, model, total / 60)
    ways.append(
        Way(name=new.name, model=new.model, seconds=new.seconds, said=f"{said}; {new.said}")
    )
    longer = arguments.runs / "longer"
    ways.append(from_scratch("original, longer", longer, run, run.config.model, total / 60))
    name = importlib.import_module("importlib.metadata").version("torch-pruning")
    lines = [
        f"Budget {budget}, on the test split; the bound holds at 95 %. Speed of writing the same",
        "phrases, in turns, as the median with the middle half. Operations are multiply-adds of",
        f"attention over the calibration batches. Torch-Pruning {name}.",
        "",
        *table(problem, ways, budget),
    ]
    print("\n".join(lines)) if arguments.dry else write("against-others", lines)


if __name__ == "__main__":
    main()
