"""The same minutes for a recurrent translator without attention, with it, and for a Transformer.

Each trains on the built-in corpus and is measured on its test split, whole and by source length.
"""

import argparse
import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
from _measure import write

from heedful.evaluation import evaluate
from heedful.metrics.interval import estimate
from heedful.metrics.texts import chrf, exact_match
from heedful.tasks.translation.config import Config, Model, RnnModel, Train, TransformerModel
from heedful.training.metrics import read_metrics
from heedful.training.run import load
from heedful.training.start import train

MODELS: dict[str, Model] = {
    "RNN, no attention": RnnModel(attention="none", input_feeding=False, hidden=256),
    "RNN, additive attention": RnnModel(attention="additive", input_feeding=False),
    "Transformer": TransformerModel(),
}
BORDERS = (0, 10, 30, 10_000)  # source tokens


def row(name: str, model: Model, minutes: float, folder: Path, *, fresh: bool) -> str:
    """Train one model, unless its run is kept, and return its line of the table."""
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
        train(Config(output=str(folder), model=model, train=Train(minutes=minutes)))
    run = load(folder)
    report = evaluate(run)
    trained = [x["tokens_per_second"] for x in read_metrics(folder) if "tokens_per_second" in x]
    examples = run.examples("test")
    texts = run.translator.translate([example.source for example in examples])
    right = exact_match().statistics(texts, examples)
    sources = run.translator.vocabularies.source.encode([example.source for example in examples])
    lengths = np.array([len(source) - 2 for source in sources])
    cells = [f"{report.scores[name].score:.1f}" for name in ("exact_match", "chrf")]
    for low, high in itertools.pairwise(BORDERS):
        chosen = right[(lengths > low) & (lengths <= high)]
        share = estimate(exact_match(), chosen)
        cells.append(f"{share.score:.1f} [{share.low:.0f}, {share.high:.0f}] of {len(chosen)}")
    long = lengths > BORDERS[-2]
    score = estimate(chrf(), chrf().statistics(texts, examples)[long])
    cells.append(f"{score.score:.1f} [{score.low:.0f}, {score.high:.0f}]")
    speeds = f"{np.median(trained):,.0f} | {report.per_second:,.0f}"
    return f"| {name} | {run.about['parameters']:,} | {' | '.join(cells)} | {speeds} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.75)
    parser.add_argument("--keep", action="store_true", help="measure the runs that are there")
    parser.add_argument("--runs", type=Path, default=Path("runs/translators"))
    arguments = parser.parse_args()
    lines = [
        f"Each trained for {arguments.minutes} minutes. Exact match in per cent with 95 %",
        "intervals, by source tokens; tokens a second in training (both sides) and in greedy",
        "writing (target).",
        "",
        "| model | parameters | exact match | chrF | up to 10 tokens | 11 to 30 | over 30 "
        "| chrF over 30 "
        "| training tokens/s | writing tokens/s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for number, (name, model) in enumerate(MODELS.items()):
        folder = arguments.runs / str(number)
        lines.append(row(name, model, arguments.minutes, folder, fresh=not arguments.keep))
        print(lines[-1], file=sys.stderr, flush=True)
    write("translators", lines)


if __name__ == "__main__":
    main()
