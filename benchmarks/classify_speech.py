"""Spoken digits: the word, the word of a speaker who was not heard before, and the speaker.

The word and the speaker are told by the official split, recordings 0 to 4 held out. A speaker who
was not heard before is one of the three, with the other two to learn from. The dev split is always
taken out of the training recordings. Needs the extras sound and images.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from _measure import write
from _spoken_digits import SPEAKERS, unpack, write_table

import heedful
from heedful.bench.entries.classify_speech import ENTRY
from heedful.bench.tasks import baseline_scores
from heedful.tasks.catalog import load_config

CONFIG = Path(__file__).parent / "configs" / "spoken_digits.toml"


def tables(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Write the tables of every question; return those to learn from and those to test on."""
    recordings = unpack(folder)
    held = [each for each in recordings if each.is_test]
    rest = [each for each in recordings if not each.is_test]
    questions = {"word": (rest, held, "digit"), "speaker": (rest, held, "speaker")}
    for speaker in SPEAKERS:
        others = [each for each in recordings if each.speaker != speaker]
        own = [each for each in recordings if each.speaker == speaker]
        questions[f"word by {speaker}"] = (others, own, "digit")
    found: dict[str, tuple[Path, Path]] = {}
    for name, (train, test, label) in questions.items():
        paths = tuple(folder / f"{name.replace(' ', '-')}-{part}.csv" for part in ("train", "test"))
        for path, part in zip(paths, (train, test), strict=True):
            write_table(path, part, label=label)
        found[name] = (paths[0], paths[1])
    return found


def trained(
    name: str, paths: tuple[Path, Path], model: str, seed: int, settings: list[str], runs: Path
) -> tuple[heedful.Run, float]:
    """A training, and its seconds."""
    output = runs / f"{name}-{list(ENTRY.models).index(model)}-{seed}".replace(" ", "-")
    shutil.rmtree(output, ignore_errors=True)
    told = [
        *(f'data.{part}="{path}"' for part, path in zip(("train", "test"), paths, strict=True)),
        *(
            f"{table}.{key}={str(value).lower()}"
            for table, values in ENTRY.models[model].items()
            for key, value in values.items()
        ),
        f'output="{output}"',
        f"seed={seed}",
        *settings,
    ]
    began = time.perf_counter()
    run = heedful.train(load_config(CONFIG, overrides=told))
    return run, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpack", action="store_true", help="write the tables, and no more")
    parser.add_argument("--folder", type=Path, default=Path("runs/classify-speech"))
    parser.add_argument("--only", nargs="+", help="some of the questions")
    parser.add_argument("--models", nargs="+", default=list(ENTRY.models), choices=ENTRY.models)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="+", default=[], dest="settings")
    parser.add_argument("--dry", action="store_true", help="write no file")
    arguments = parser.parse_args()
    found = tables(arguments.folder)
    if arguments.unpack:
        return
    lines = [
        "Accuracy in per cent on the test recordings: the mean of all seeds, the interval of the",
        "first, each seed; of the dev split the mean. Seconds are those of one training.",
        "",
        "| question | model | test | 95 % | seeds | dev | seconds | parameters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, paths in found.items():
        if arguments.only and name not in arguments.only:
            continue
        baselines = None
        for model in arguments.models:
            scores, dev, spent, interval, parameters = [], [], [], (0.0, 0.0), 0
            for seed in range(1, arguments.seeds + 1):
                run, seconds = trained(
                    name, paths, model, seed, arguments.settings, arguments.folder / "trained"
                )
                report = heedful.evaluate(run).scores["accuracy"]
                interval = report.interval if seed == 1 else interval
                scores.append(report.score)
                dev.append(heedful.evaluate(run, split="dev").scores["accuracy"].score)
                spent.append(seconds)
                parameters = int(run.about["parameters"])
                print(
                    name, model, seed, report.score, dev[-1], seconds, file=sys.stderr, flush=True
                )
                if baselines is None:
                    baselines = baseline_scores(run, ENTRY)
                    print(baselines, file=sys.stderr, flush=True)
            lines.append(
                f"| {name} | {model} | {np.mean(scores):.1f} | {interval[0]:.1f} to "
                f"{interval[1]:.1f} | {', '.join(f'{each:.1f}' for each in scores)} "
                f"| {np.mean(dev):.1f} | {np.mean(spent):.0f} | {parameters:,} |"
            )
        for baseline, score in (baselines or {}).items():
            lines.append(f"| {name} | {baseline} | {score:.1f} | | | | | |")
    if arguments.dry:
        print("\n".join(lines))
    else:
        write("classify-speech", lines)


if __name__ == "__main__":
    main()
