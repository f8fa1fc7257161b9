"""Strings of spoken digits: word errors of CTC and of the attention decoder, greedily and by beams.

The strings are recordings of the Free Spoken Digit Dataset put one after another, three to seven by
one speaker: recordings 0 to 4 of each digit and speaker make the test strings, 5 to 9 those of dev.
Needs the extras sound and images.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

from _measure import write
from _spoken_digits import unpack, write_strings

import heedful
from heedful.bench.entries.recognise_speech import ENTRY
from heedful.metrics.interval import estimate
from heedful.tasks.catalog import find_task, load_config

CONFIG = Path(__file__).parent / "configs" / "spoken_digit_strings.toml"
COUNTS = {"train": 2_400, "dev": 100, "test": 200}
ENCODERS = {"self-attention": [], "convolutions": ["model.attention=false"]}
SEARCHES = {
    "CTC, greedy": [],
    "CTC, beam 8": ["decode.beam=8"],
    "decoder, greedy": ["decode.by=attention"],
    "decoder, beam 8": ["decode.by=attention", "decode.beam=8"],
}


def make(folder: Path) -> None:
    """Write the strings, once."""
    if (folder / "test.csv").exists():
        return
    found = unpack(folder / "unpacked")
    parts = {
        "train": [each for each in found if each.index >= 10],
        "dev": [each for each in found if 5 <= each.index < 10],
        "test": [each for each in found if each.is_test],
    }
    for seed, (name, recordings) in enumerate(parts.items()):
        write_strings(folder / name, recordings, count=COUNTS[name], seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", action="store_true", help="write the strings, and no more")
    parser.add_argument("--folder", type=Path, default=Path("runs/recognise-speech"))
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=ENCODERS)
    parser.add_argument("--set", nargs="+", default=[], dest="settings")
    parser.add_argument("--dry", action="store_true", help="write no file")
    arguments = parser.parse_args()
    make(arguments.folder)
    if arguments.make:
        return
    lines = [
        "Errors in per cent of the words of 200 test strings, with 95 % intervals; seconds of",
        "training and of answering all of them.",
        "",
        "| encoder | search | word errors | 95 % | strings right | dev | training | answers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for encoder in arguments.encoders:
        output = arguments.folder / "trained" / encoder
        shutil.rmtree(output, ignore_errors=True)
        told = [f'output="{output}"', *ENCODERS[encoder], *arguments.settings]
        began = time.perf_counter()
        run = heedful.train(load_config(CONFIG, overrides=told))
        seconds = time.perf_counter() - began
        for search, settings in SEARCHES.items():
            began = time.perf_counter()
            report = heedful.evaluate(run, overrides=settings)
            spent = time.perf_counter() - began
            dev = heedful.evaluate(run, split="dev", overrides=settings)
            found = report.scores["word_error_rate"]
            lines.append(
                f"| {encoder}, {run.about['parameters']:,} | {search} | {found.score:.2f} "
                f"| {found.interval[0]:.2f} to {found.interval[1]:.2f} "
                f"| {report.scores['exact_match'].score:.1f} "
                f"| {dev.scores['word_error_rate'].score:.2f} | {seconds:.0f} | {spent:.0f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    splits = find_task(run.config.task).read(run.config)
    metric = run.task.metric("word_error_rate")
    for name, answers in ENTRY.baselines.items():
        found = estimate(metric, metric.statistics(answers(run.task, splits), splits.test))
        low, high = found.interval
        lines.append(f"| | {name} | {found.score:.2f} | {low:.2f} to {high:.2f} | | | | |")
        print(lines[-1], file=sys.stderr, flush=True)
    if arguments.dry:
        print("\n".join(lines))
    else:
        write("recognise-speech", lines)


if __name__ == "__main__":
    main()
