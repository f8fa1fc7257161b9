"""What optimising made of the demo's translators: its verdict, throughput in batches, one sentence.

Each run was trained by `heedful demo` (or `heedful train` with its settings) and then optimised by
`heedful optimize RUN --lose "chrf 0.5"`. With `--control` the unchanged translator is healed
for as long, to tell what healing alone does.
"""

import argparse
from pathlib import Path
from typing import Any

from _measure import write
from _translator import opened, verdict_on

from heedful.bench.timing import Ratio, in_turns, ratio
from heedful.files import read_json
from heedful.optimizing.budget import Budget
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.of_run import problem_of_run
from heedful.optimizing.settings import OptimizeSettings

BATCH, PHRASES, SINGLE, ROUNDS = 64, 512, 32, 11
HEAD = [
    "| run | accepted | chrF before | after | bound | operations | parameters "
    "| 64 at a time | one sentence | seconds |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
]


def speeds(folder: Path, smaller: Path) -> tuple[Ratio, Ratio]:
    """How much faster texts of the test split are written: many at a time, and one by one."""
    runs = {"before": opened(folder, None), "after": opened(smaller, None)}
    examples = runs["before"].examples("test")[:PHRASES]
    texts = [example.source for example in examples]

    def timed(chosen: list[str], batch: int) -> Ratio:
        ways = {}
        for name, run in runs.items():
            translator = run.translator
            ways[name] = lambda t=translator: [
                t.translate(chosen[i : i + batch]) for i in range(0, len(chosen), batch)
            ]
        times = in_turns(ways, rounds=ROUNDS)
        return ratio(times["before"], times["after"])

    return timed(texts, BATCH), timed(texts[:SINGLE], 1)


def told(name: str, report: dict[str, Any], many: Ratio, one: Ratio) -> str:
    quality, operations = report["quality"], report["attention_operations"]
    parameters = report["parameters"]
    return (
        f"| {name} | {'yes' if report['accepted'] else 'no'} | {quality['before']:.2f} "
        f"| {quality['after']:.2f} | {quality['bound']:+.2f} "
        f"| {operations['before'] / operations['after']:.2f}x fewer "
        f"| {parameters['before'] / parameters['after']:.2f}x fewer "
        f"| {many} | {one} | {report['seconds']:.0f} |"
    )


def control(folder: Path, report: dict[str, Any]) -> str:
    """The unchanged translator, healed for as long as the long healing of the optimised one."""
    budget = Budget(metric=report["quality"]["metric"], margin=report["quality"]["budget"])
    problem = problem_of_run(opened(folder, None), budget.metric)
    before = problem.statistics(problem.model, "test")
    model = opened(folder, None).translator.model.requires_grad_(True)
    finetune(model, problem, Finetuning(steps=OptimizeSettings().final_steps))
    verdict = verdict_on(problem, before, model.eval(), budget)
    return f"{verdict.difference:+.2f} (bound {verdict.bound:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="+", metavar="RUN=OPTIMISED")
    parser.add_argument("--control", action="store_true", help="also heal the unchanged ones")
    arguments = parser.parse_args()
    lines, sites, controls = [*HEAD], ["", "What became of each site:", ""], []
    for number, pair in enumerate(arguments.pairs, 1):
        folder, smaller = (Path(part) for part in pair.split("="))
        report = read_json(smaller / "report.json")
        if not report["accepted"]:
            lines.append(f"| {number} | no: {report['reason']} |")
            continue
        lines.append(told(str(number), report, *speeds(folder, smaller)))
        changes = (
            f"{site['name']} {site['before']} -> {site['after']}" for site in report["sites"]
        )
        sites.append(f"* run {number}: {'; '.join(changes)}")
        if arguments.control:
            controls.append(f"* run {number}: {control(folder, report)}")
    if controls:
        controls = ["", "The unchanged translators, healed for as long, in chrF:", "", *controls]
    write("optimise-demo", [*lines, *sites, *controls])


if __name__ == "__main__":
    main()
