"""Optimise a language model of characters at a context of 4,096: how much faster, at which loss?

Trains a model for each seed unless its checkpoint is there, optimises it, and times both in turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from _character_model import (
    HEADS,
    LAYERS,
    PIECES,
    RATE,
    WIDTH,
    CharacterModel,
    Text,
    keep,
    losses,
    read,
    read_text,
    trained,
    windows,
)
from _measure import write
from torch import Tensor, nn

from heedful.allocation.plan import unfused
from heedful.allocation.sites import find_sites
from heedful.bench.memory import peak_bytes
from heedful.bench.timing import Ratio, Times, in_turns, ratio
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.events import Note, OptimizeEvent, RoundDone
from heedful.optimizing.finetune import Finetuning, finetune, rate_scale_for
from heedful.optimizing.latency_table import site_seconds
from heedful.optimizing.of_model import ModelSpec, problem_of_model
from heedful.optimizing.optimize import optimize_problem
from heedful.optimizing.optimize_data import OptimizeData
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.problem import Batch, Problem
from heedful.optimizing.request import Request
from heedful.optimizing.settings import OptimizeSettings

CONTEXT = 4096
STAGES = [(800, 512), (160, CONTEXT)]  # steps, length of the windows
TOKENS = 2048  # of a batch in training, or one window
BUDGET = "loss <= 0.5%"
CALIBRATED = 2  # windows that are scored and fitted to, one of them timed; healing sees all
ROUNDS = 9  # of the timings
MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one seed.

    Args:
        seed: Of the model.
        outcome: Of the optimisation.
        attention: How much faster all sites are together.
        whole: How much faster the model is.
        share: Of the time of the original that its sites take.
        mebibytes: Most memory of one window, before and after.
        steps: Of healing, all rounds together.
        alone: The test loss of the original after as many steps; `None` where it was not asked.
        sites: What each became.
    """

    seed: int
    outcome: Outcome
    attention: Ratio
    whole: Ratio
    share: float
    mebibytes: tuple[float, float]
    steps: int
    alone: float | None
    sites: list[str]


def checkpoint(folder: Path, text: Text, seed: int) -> CharacterModel:
    """Read a model, or train it and keep it."""
    path = folder / f"{seed}.safetensors"
    if not path.exists():
        began = time.monotonic()

        def said(step: int, loss: float) -> None:
            if step % 100 == 0:
                seconds = time.monotonic() - began
                print(f"seed {seed}: step {step}, loss {loss:.3f}, {seconds:.0f} s", flush=True)

        model = trained(text, seed=seed, stages=STAGES, tokens=TOKENS, bf16=True, on_step=said)
        keep(model, path)
    return read(path, text.characters)


def subject_of(model: nn.Module, text: Text, context: int) -> Problem:
    batches = [(x[None], y[None]) for x, y in windows(text.training, context)]
    data = OptimizeData(
        calibration=batches,
        dev=windows(text.validation, context),
        test=windows(text.test, context),
    )
    problem = problem_of_model(
        model,
        data,
        losses,
        metric="loss",
        higher_is_better=False,
        spec=ModelSpec(outputs="logits", learning_rate=RATE, bf16=True),
    )
    # a pass over the 16 batches that are usual would take seconds, and there are hundreds of passes
    few = [problem.calibration[i] for i in range(CALIBRATED)]
    return replace(problem, calibration=few, work=work_on(few[0]), use=work_on(few[0]))


def counted(problem: Problem, steps: list[int]) -> Problem:
    """Put a number behind each step of healing."""

    def training(seed: int) -> Iterator[Batch]:
        for batch in problem.training(seed):
            steps.append(seed)
            yield batch

    return replace(problem, training=training)


def work_on(batch: Batch) -> Callable[[nn.Module], None]:
    def work(model: nn.Module) -> None:
        with torch.inference_mode():
            model(batch[0])

    return work


def timed(before: nn.Module, after: nn.Module, batch: Tensor) -> tuple[Ratio, Ratio, float]:
    """How much faster all sites together and the model are, in turns, and what the sites took."""

    def run(model: nn.Module) -> Callable[[], object]:
        return lambda: model(batch)

    with torch.inference_mode():
        both = in_turns({"before": run(before), "after": run(after)}, rounds=ROUNDS)
        spent: dict[str, list[float]] = {"before": [], "after": []}
        shares: list[float] = []
        sites = find_sites(before)[0]
        for _ in range(ROUNDS):
            for name, model in (("before", before), ("after", after)):
                of_sites, rest = site_seconds(model, sites, lambda model: model(batch))
                spent[name].append(sum(of_sites.values()))
                if name == "before":
                    shares.append(spent[name][-1] / (spent[name][-1] + rest))
    attention = ratio(Times(tuple(spent["before"])), Times(tuple(spent["after"])))
    return attention, ratio(both["before"], both["after"]), statistics.median(shares)


def heard(event: OptimizeEvent) -> None:
    if isinstance(event, RoundDone):
        candidate = event.candidate
        print(
            f"{'final' if event.final else 'round'} {event.number}: "
            f"share {candidate.share:.3f}, slack {candidate.slack:.4f}, "
            f"{candidate.verdict and candidate.verdict.reason}",
            flush=True,
        )
    elif isinstance(event, Note):
        print(event.text, flush=True)
    elif event.done is None:
        print(f"{time.strftime('%X')} {event.text}", flush=True)


def one(
    seed: int,
    model: CharacterModel,
    text: Text,
    context: int,
    settings: OptimizeSettings,
    control: bool,
) -> Row:
    problem, steps = subject_of(model, text, context), list[int]()
    request = Request(
        problem=counted(problem, steps),
        budget=parse_lose(BUDGET),
        settings=settings,
        listener=heard,
    )
    outcome = optimize_problem(request)
    before, after = unfused(model).eval(), outcome.model.eval()
    batch = windows(text.test, context)[0][0][None]
    attention, whole, share = timed(before, after, batch)
    alone = None
    if control:
        copy = unfused(model)
        rate_scale = max(rate_scale_for(done["divergence"]) for done in outcome.report["rounds"])
        finetune(
            copy, problem, Finetuning(steps=len(steps), seed=settings.seed, rate_scale=rate_scale)
        )
        alone = statistics.mean(losses(copy.eval(), windows(text.test, context)))
    with torch.inference_mode():
        peaks = [(peak_bytes(lambda m=m: m(batch)) or 0) / MEBIBYTE for m in (before, after)]
    return Row(
        seed=seed,
        outcome=outcome,
        attention=attention,
        whole=whole,
        share=share,
        mebibytes=(peaks[0], peaks[1]),
        steps=len(steps),
        alone=alone,
        sites=[str(site.read(after).geometry) for site in find_sites(before)[0]],
    )


def lines_of(rows: list[Row], context: int, settings: OptimizeSettings) -> list[str]:
    settings_said = ", ".join(
        f"{name}={getattr(settings, name)}"
        for name in ("rounds", "cut", "trials", "finalists", "finetune_steps", "final_steps")
    )
    lines = [
        f"A causal model of characters ({LAYERS} layers, width {WIDTH}, {HEADS} heads, rotary",
        f"positions) of tiny_shakespeare, float32, one window of {context:,} characters at a time.",
        f"Budget: {BUDGET}, on the test split. Loss is nats a character,",
        f"judged in pieces of {context // PIECES:,} characters, {PIECES} of each window.",
        f"Settings: {settings_said}.",
        "",
        "| seed | accepted, split | loss before | after | bound of the change | allowed "
        "| the original, healed as long | steps of healing | attention faster | whole faster "
        "| attention's share before | seconds | memory, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        report: dict[str, Any] = row.outcome.report
        quality = report["quality"]
        cells = [
            f"{quality[name]:.4f}" if quality[name] is not None else "-"
            for name in ("before", "after", "bound", "budget")
        ]
        lines.append(
            f"| {row.seed} | {'yes' if row.outcome.accepted else 'no'}, {quality['split']} "
            f"| {' | '.join(cells)} "
            f"| {'-' if row.alone is None else f'{row.alone:.4f}'} | {row.steps} "
            f"| {row.attention} | {row.whole} | {100 * row.share:.0f} % "
            f"| {report['seconds']:.0f} | {row.mebibytes[0]:.0f} to {row.mebibytes[1]:.0f} |"
        )
    lines += [
        "",
        "Medians with the middle half, in turns. What the sites became, first to last:",
        "",
    ]
    lines += [f"* seed {row.seed}: {'; '.join(row.sites)}" for row in rows]
    lines += ["", "What was said:", ""]
    lines += [f"* seed {row.seed}: {row.outcome.reason}" for row in rows]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/long-inputs"))
    parser.add_argument(
        "--text", type=Path, default=Path("../shared/data/tiny_shakespeare/input.txt.gz")
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--context", type=int, default=CONTEXT)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cut", type=float, default=0.55)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--finetune", type=int, default=100, help="steps in a round")
    parser.add_argument("--control", action="store_true", help="heal the original as well")
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    arguments = parser.parse_args()
    text = read_text(arguments.text)
    settings = OptimizeSettings(
        rounds=arguments.rounds,
        cut=arguments.cut,
        trials=arguments.trials,
        finalists=1,
        finetune_steps=arguments.finetune,
        final_steps=2 * arguments.finetune,
        finals=1,
    )
    rows: list[Row] = []
    for seed in arguments.seeds:
        model = checkpoint(arguments.checkpoints, text, seed)
        rows.append(one(seed, model, text, arguments.context, settings, arguments.control))
        print(lines_of(rows, arguments.context, settings)[-1], flush=True)
    lines = lines_of(rows, arguments.context, settings)
    print("\n".join(lines)) if arguments.dry else write("long-inputs", lines)


if __name__ == "__main__":
    main()
