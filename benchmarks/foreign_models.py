"""`heedful.optimize` on models that know nothing of it: trained, cut, saved, loaded elsewhere.

Each model learns a small task from scratch, is optimised under a budget, saved, and loaded in a new
process, whose answers must be those of the model that was saved.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from _foreign_tasks import TASKS, Task, train
from _measure import write
from safetensors.torch import load_file, save_file
from torch import Tensor

import heedful
from heedful.optimizing.events import OptimizeEvent, RoundDone
from heedful.optimizing.of_model import ModelSpec
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.settings import OptimizeSettings

CALIBRATION, HELD_OUT = 960, (800, 1_000)
SETTINGS = OptimizeSettings(
    rounds=3,
    cut=0.3,
    trials=16,
    finalist_steps=15,
    finetune_steps=60,
    final_steps=150,
    finals=3,
    minutes=1.5,
)
ANSWERS = "answers.safetensors"


def answers(name: str, model: torch.nn.Module) -> Tensor:
    """What a model says to a batch that is the same in every process."""
    batch = TASKS[name].draw(32, 5)[0]
    with torch.inference_mode():
        if isinstance(batch, tuple):
            return model(batch[0])
        return model(**batch).logits


def answer(name: str, folder: Path) -> None:
    """Load a model and write what it says: the work of the new process."""
    plain = name == "nn.TransformerEncoder"
    model = heedful.load(folder, into=TASKS[name].build() if plain else None, device="cpu")
    save_file({"answers": answers(name, model)}, folder / ANSWERS)


def again(name: str, outcome: Outcome) -> str:
    """How far answers in a new process are from those of the optimised model."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        outcome.save(folder)
        subprocess.run([sys.executable, __file__, "--answer", name, str(folder)], check=True)
        far = (load_file(folder / ANSWERS)["answers"] - answers(name, outcome.model)).abs().max()
    return "equal" if not far else f"differ by up to {far:.1e}"


def optimised(task: Task) -> Outcome:
    torch.manual_seed(0)
    model = task.build()
    train(model, task)

    def heard(event: OptimizeEvent) -> None:
        if isinstance(event, RoundDone):
            name = "healed long" if event.final else f"round {event.number}"
            share = event.candidate.share
            print(f"  {name}: {share:.0%} of the time", file=sys.stderr, flush=True)

    validation, test = HELD_OUT
    return heedful.optimize(
        model,
        data=heedful.OptimizeData(
            calibration=task.draw(CALIBRATION, 2),
            dev=task.draw(validation, 3),
            test=task.draw(test, 4),
        ),
        quality=task.quality,
        lose=task.lose,
        settings=SETTINGS,
        spec=ModelSpec(outputs="logits"),
        on_event=heard,
    )


def row(name: str) -> str:
    print(name, file=sys.stderr, flush=True)
    began = time.monotonic()
    outcome = optimised(TASKS[name])
    report, quality = outcome.report, outcome.report["quality"]
    low, high = report["speedup_middle_half"]
    numbers = (f"{quality[key]:.4f}" if quality[key] is not None else "-" for key in QUALITY)
    cells = [
        name,
        TASKS[name].keep,
        arrow(report["parameters"], 1e3),
        arrow(report["attention_operations"], 1e6),
        *numbers,
        f"{report['speedup']:.2f}x ({low:.2f} to {high:.2f})",
        f"{report['speedup_bound']:.2f}x",
        f"{time.monotonic() - began:.0f}",
        again(name, outcome) if outcome.accepted else "-",
        "accepted" if outcome.accepted else f"refused: {outcome.reason}",
    ]
    return f"| {' | '.join(cells)} |"


QUALITY = ("before", "after", "bound")


def arrow(counts: dict[str, int], unit: float) -> str:
    return f"{counts['before'] / unit:,.0f} -> {counts['after'] / unit:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(TASKS))
    parser.add_argument("--answer", nargs=2, metavar=("MODEL", "FOLDER"), help="load and answer")
    given = parser.parse_args()
    if given.answer:
        answer(given.answer[0], Path(given.answer[1]))
        return
    lines = [
        "Small models, built from their configurations, trained on planted tasks (GPT-2: on the",
        "text of Python's language reference), optimised under a budget, saved, and loaded in a",
        "new process. Before, after and bound are of the test split; of validation where refused.",
        "",
        "| model | budget | parameters, k | attention, M multiply-adds | before | after "
        "| difference's bound | faster | at most | seconds, training included | in a new process "
        "| verdict |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for name in given.models or TASKS:
        lines.append(row(name))
        print(lines[-1], file=sys.stderr, flush=True)
    lines += [
        "",
        "Faster: the original against the optimised model on the calibration batches, in turns;",
        "median and middle half. At most: what no plan can exceed, since the rest is no attention",
        "(Amdahl).",
    ]
    write("foreign-models", lines)


if __name__ == "__main__":
    main()
