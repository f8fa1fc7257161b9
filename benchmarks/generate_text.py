"""Language models of Shakespeare's plays beside counted n-grams, on all of the held-out text.

Every network is trained for so many steps on `benchmarks/configs/tiny_shakespeare.toml`; a run that
is there already is measured as it is. Each held-out character is predicted once: in windows that
begin anew, as is usual, and with at least as much read before it as it has characters.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from _measure import write

import heedful
from heedful.bench.entries.generate_text import ENTRY
from heedful.data.examples import Splits
from heedful.metrics.interval import Estimate, estimate
from heedful.tasks.catalog import load_config
from heedful.tasks.generate_text.passages import Passage, cut
from heedful.tasks.measure import measure
from heedful.training.run import Run

CONFIG = Path(__file__).parent / "configs" / "tiny_shakespeare.toml"
LOG2 = 0.6931471805599453
WINDOWS = {"windows of 256, which begin anew": (256, 1), "128 to 255 before": (128, 128)}
MODELS: dict[str, list[str]] = {
    "Transformer": [],
    "LSTM": ['model={name="lstm", width=224}'],
}


def trained(model: str, folder: Path, settings: list[str]) -> tuple[Run, float | None]:
    """A run, and the processor seconds of its training where it was trained here."""
    if (folder / "config.toml").exists():
        return heedful.load(folder), None
    overrides = [f'output="{folder}"', *MODELS[model], *settings]
    began = time.process_time()
    return heedful.train(load_config(CONFIG, overrides=overrides)), time.process_time() - began


def judged(run: Run, examples: list[Passage]) -> Estimate:
    """The loss of a character of passages, with its interval."""
    metric = run.task.metric("loss")
    found = measure(run.task, run.model, run.task.encode(examples), examples, metrics=[metric])
    return estimate(metric, found["loss"])


def baselines(run: Run) -> dict[str, Estimate]:
    """The losses of counted n-grams, their length chosen on the same text that is held out."""
    splits = run.kind.read(run.config)
    held_out = Splits(train=splits.train, dev=splits.dev, test=splits.dev)
    metric = run.task.metric(ENTRY.metric)
    found: dict[str, Estimate] = {}
    for name, answers in ENTRY.baselines.items():
        statistics = metric.statistics(answers(run.task, held_out), splits.dev)
        statistics[:, 0] *= LOG2
        found[name] = estimate(metric, statistics)
    return found


def row(*cells: Any) -> str:
    """One row of the table."""
    return f"| {' | '.join(map(str, cells))} |"


def shown(found: Estimate) -> str:
    """A loss and its interval."""
    low, high = found.interval
    return f"{found.score:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the config")
    parser.add_argument("--runs", type=Path, default=Path("runs/tiny_shakespeare"))
    arguments = parser.parse_args()
    lines = [
        "Validation loss in nats a character, the last tenth of the text, with 95 % intervals.",
        "Processor seconds are those of one thread.",
        "",
        row("model", *WINDOWS, "steps", "processor s", "parameters"),
        row(*["---"] * (4 + len(WINDOWS))),
    ]
    run = None
    for model in arguments.models:
        run, seconds = trained(model, arguments.runs / model.lower(), arguments.set)
        text = "".join(example.text for example in run.examples("dev"))
        found = [judged(run, cut(text, length=a, before=b)) for a, b in WINDOWS.values()]
        spent = "" if seconds is None else f"{seconds:.0f}"
        steps = run.config.train.steps
        parameters = f"{int(run.about['parameters']):,}"
        lines.append(row(model, *map(shown, found), steps, spent, parameters))
    for name, found in baselines(run).items():
        lines.append(row(name, "", shown(found), "", "", ""))
    write("generate-text", lines)


if __name__ == "__main__":
    main()
