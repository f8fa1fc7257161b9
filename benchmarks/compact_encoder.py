"""An encoder in few bits: its file, its memory and its time, against float32.

    python benchmarks/compact_encoder.py CHECKPOINT PAIRS.tsv.gz

The checkpoint and the sentences are those of `pretrained_encoder.py`. Memory is that of a process
of its own, above what it takes before it loads the model. Both times are of the whole model, in
turns: 32 sentences as they come, with padding, and 32 passages of 50 tokens without.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _measure import write
from pretrained_encoder import TOGETHER, Batch, sentences
from torch import nn
from transformers import AutoModel, AutoTokenizer

import heedful
from heedful.allocation.plan import Plan
from heedful.allocation.stored import save_model
from heedful.bench.timing import in_turns, ratio

ROUNDS = 9
AT = 1280  # the first of the sentences that are timed
LOADED = """
import ctypes, gc, sys
import torch
from transformers import BertModel
import heedful
from heedful.allocation import stored
def of(key):
    line = next(x for x in open("/proc/self/status") if x.startswith(key))
    return int(line.split()[1]) / 1024
def now():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return of("VmRSS")
before = now()
model = heedful.load(sys.argv[1])
with torch.inference_mode():
    model(torch.arange(1000, 1020)[None])
after, most = now(), of("VmHWM")
print(f"{after - before:.0f} {most - before:.0f}")
"""


def main() -> None:
    """One row for each form, and the times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pairs", type=Path)
    asked = parser.parse_args()
    model = AutoModel.from_pretrained(asked.checkpoint, local_files_only=True).eval()
    reader: Any = AutoTokenizer.from_pretrained(asked.checkpoint)
    texts = sentences(asked.pairs)
    batches = {
        "sentences": dict(reader(texts[AT : AT + TOGETHER], padding=True, return_tensors="pt")),
        "passages": passages(reader, texts),
    }
    lines = ["| weights | file, MB | loaded, MiB | at most while loading, MiB | says the same |"]
    lines.append("|--|--|--|--|--|")
    loaded: dict[str, nn.Module] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, precision, compact in (
            ("int8", "int8", True),
            ("bf16", "bf16", True),
            ("float32, of which int8 products are made", "int8", False),
        ):
            place, plan = Path(folder) / str(len(loaded)), Plan(linear=precision)
            made = plan.apply(model).eval()
            save_model(place, made, plan, compact=compact)
            loaded[name] = heedful.load(place)
            lines.append(row(name, place, made, loaded[name], batches["sentences"]))
            print(lines[-1], flush=True)
    lines += ["", "| batch | real tokens | float32, ms | int8, ms | faster |", "|--|--|--|--|--|"]
    for name, batch in batches.items():
        lines.append(timed(name, model, loaded["int8"], batch))
        print(lines[-1], flush=True)
    write("compact-encoder", lines)


def passages(reader: Any, texts: list[str]) -> Batch:
    """As many passages of 50 tokens."""
    words = [word for text in texts[:2000] for word in reader(text)["input_ids"][1:-1]]
    return {"input_ids": torch.tensor(words[: 50 * TOGETHER]).view(TOGETHER, 50)}


@torch.inference_mode()
def row(name: str, folder: Path, made: nn.Module, again: nn.Module, batch: Batch) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(folder)], capture_output=True, text=True, check=True
    )
    size = (folder / "model.safetensors").stat().st_size / 1e6
    same = "bit for bit" if torch.equal(again(**batch)[0], made(**batch)[0]) else "no"
    return f"| {name} | {size:.1f} | {' | '.join(done.stdout.split())} | {same} |"


@torch.inference_mode()
def timed(name: str, model: nn.Module, small: nn.Module, batch: Batch) -> str:
    runs = {"before": partial(model, **batch), "after": partial(small, **batch)}
    times = in_turns(runs, rounds=ROUNDS)
    found = ratio(times["before"], times["after"])
    before, after = (1e3 * min(times[key].rounds) for key in runs)
    shape, mask = tuple(batch["input_ids"].shape), batch.get("attention_mask")
    real = "all" if mask is None else f"{mask.float().mean():.0%}"
    spread = f"{found.median:.2f}x ({found.low:.2f} to {found.high:.2f})"
    return f"| {name}, {shape[0]} x {shape[1]} | {real} | {before:.0f} | {after:.0f} | {spread} |"


if __name__ == "__main__":
    main()
