"""Run folders and saved models changed at random: a line of error or the right answer.

A trained run of every task, an optimised run and a saved model are written, and one thing in a copy
is changed at a time: cut, bits turned over, fields and tensors of another kind, nesting, links,
pipes, swapped files; with its manifest, and without, so that the checks behind it are reached too.
One is done again with `--seed S --only I`. Ends with 1 where anything came raw, crashed, hung or
was wrong.
"""

import argparse
import collections
import random
import sys
import tempfile
from pathlib import Path

import torch
from _hostile_folders import attempt, kinds, used
from _hostile_tasks import task_kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--folders", default="", help="names of folders, with commas; empty: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the processes are forked
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folders = [*kinds(Path(name)), *task_kinds(Path(name))]
        wanted = arguments.folders.split(",") if arguments.folders else []
        folders = [kind for kind in folders if not wanted or kind.name in wanted]
        right = {kind.name: used(kind, kind.folder).said for kind in folders}
        indices = range(arguments.changes) if arguments.only is None else [arguments.only]
        for index in indices:
            draw = random.Random(f"{arguments.seed} {index}")
            kind = draw.choice(folders)
            what, verdict = attempt(kind, Path(name) / "changed", draw, right[kind.name])
            counts[verdict.word] += 1
            if verdict.bad or arguments.only is not None:
                print(f"{index} {what}: {verdict.word}: {verdict.said}", flush=True)
            if (index + 1) % 500 == 0:
                print(dict(counts), file=sys.stderr, flush=True)
    print(dict(counts))
    sys.exit(any(counts[word] for word in ("wrong", "raw", "crash", "hang")))


if __name__ == "__main__":
    main()
