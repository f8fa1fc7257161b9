"""Spoken digits with written ones and their names: together, each alone, and with noise in one.

Recordings of `spoken_digits` (test: the official part, dev: the next five of each speaker and
digit) are paired with digits of scikit-learn of the same class and with number words with typos; no
recording and no image is in two splits. Every model is trained as `configs/fuse.toml` says.
"""

import argparse
import csv
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import write
from PIL import Image

import heedful
from heedful.bench.entries.fuse import ENTRY
from heedful.data.examples import Splits
from heedful.data.images import DIGITS, Source
from heedful.data.sounds import read_sound, write_sound
from heedful.metrics.interval import estimate
from heedful.tasks.catalog import load_config
from heedful.tasks.fuse.digits import WORDS, misspell
from heedful.tasks.fuse.observations import read_table

CONFIG = Path(__file__).parent / "configs" / "fuse.toml"
SOUNDS = Path(__file__).parents[2] / "shared" / "data" / "spoken_digits.tar.xz"
WORST = {"image": 120.0, "sound": 1.5, "text": 1.0}  # noise in training: from 0 to this
NOISY = {"image": 200.0, "sound": 3.0, "text": 1.0}  # noise of one kind at a time, in the test
HEAD = """\
Accuracy in per cent, with 95 % intervals, on {test} test examples, with {train} to learn from.
In `plain` the noise of each example and of each of its three parts is drawn anew, as in training:
of the image up to 120 % of the range of a pixel, of the recording white noise up to 1.5 times as
loud, of the word any share of its letters. In the others one kind has more: 200 %, three times as
loud, all letters. `no sound`: it is missing.

| model | plain | noisy image | noisy sound | noisy text | no sound | CPU seconds | parameters |
|---|---|---|---|---|---|---|---|
"""


def make(folder: Path, part: str, name: str, *, worse: str = "") -> Path:
    """Write one split as a table with its files; one kind may have more noise than all."""
    draw = np.random.default_rng([7, len(part)])
    images, labels = _images(part)
    (folder / name).mkdir()
    rows = [("image", "sound", "text", "label")]
    for path in sorted((folder / "recordings").rglob("*.wav")):
        digit, _, index = path.stem.split("_")
        if _part(int(index)) != part:
            continue
        for _ in range(3 if part == "test" else 1):
            number = len(rows)
            noise = {kind: draw.random() * most for kind, most in WORST.items()}
            noise |= {worse: NOISY[worse]} if worse else {}
            pixels = images[draw.choice(np.flatnonzero(labels == digit))].astype(float)
            pixels += draw.normal(0, 2.55 * noise["image"], pixels.shape)
            image, sound = f"{name}/{number}.png", f"{name}/{number}.wav"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / image)
            samples, rate = read_sound(path)
            samples = samples + draw.normal(0, noise["sound"] * samples.std(), len(samples))
            write_sound(folder / sound, (samples / np.abs(samples).max()).tolist(), rate)
            text = misspell(WORDS[int(digit)], typos=noise["text"], draw=draw)
            rows.append((image, sound, text, digit))
    table = folder / f"{name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return table


def _part(index: int) -> str:
    return "test" if index < 5 else "dev" if index < 10 else "train"


def _images(part: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    known = Source(DIGITS).references()
    order = np.random.default_rng(3).permutation(len(known))
    rows = {"test": order[:500], "dev": order[500:800], "train": order[800:]}[part]
    chosen = [known[row] for row in rows]
    return Source(DIGITS).load(chosen)[..., 0], np.array([each.label for each in chosen])


def judged(task: Any, answers: list[Any], examples: list[Any]) -> str:
    """Accuracy with its interval."""
    found = estimate(task.metrics[0], task.metrics[0].statistics(answers, examples))
    return f"{found.score:.1f} ({found.low:.1f} to {found.high:.1f})"


def main() -> None:
    """Train every model and judge it."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(SOUNDS) as archive:
            archive.extractall(folder / "recordings", filter="data")
        paths = {part: make(folder, part, part) for part in ("train", "dev", "test")}
        worse = [make(folder, "test", f"noisy_{kind}", worse=kind) for kind in NOISY]
        tests = [paths["test"], *worse]
        rows, counts = list[str](), (0, 0)
        for model, tables in ENTRY.models.items():
            settings = [f"data.{part}={str(path)!r}" for part, path in paths.items()]
            settings += [f"model.{key}={_toml(value)}" for key, value in _settings(tables)]
            config = load_config(CONFIG, overrides=[*settings, f"output={name}/{model}"])
            began = time.process_time()
            run = heedful.train(config)
            seconds = time.process_time() - began
            task, parts = run.task, [read_table(config.data, path) for path in tests]
            silent = config.data.model_copy(update={"sound": None})
            parts.append(read_table(silent, tests[0]))
            shown = [
                judged(task, task.answer(run.model, task.encode(part)), part) for part in parts
            ]
            size = run.about["parameters"]
            rows.append(f"| {model} | {' | '.join(shown)} | {seconds:.0f} | {size:,} |")
            print(rows[-1], file=sys.stderr)
            if len(rows) == 1:
                train, dev = (read_table(config.data, paths[part]) for part in ("train", "dev"))
                counts = (len(train), len(parts[0]))
                for title, answers in ENTRY.baselines.items():
                    splits = [Splits(train, dev, part) for part in parts]
                    said = [judged(task, answers(task, each), each.test) for each in splits]
                    rows.append(f"| {title} | {' | '.join(said)} | | |")
    head = HEAD.format(train=f"{counts[0]:,}", test=counts[1])
    write("fuse-spoken-digits", [*head.splitlines(), *rows])


def _settings(tables: Any) -> list[tuple[str, Any]]:
    return [*tables.get("model", {}).items()]


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
