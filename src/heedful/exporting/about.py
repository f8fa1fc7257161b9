"""What stands beside exported files: `export.json`, real inputs and answers, tokenisers."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from heedful.exporting.checks import Check
from heedful.exporting.graph import Graph
from heedful.exporting.run_graphs import RunGraphs
from heedful.files import write_bytes, write_files
from heedful.training.run import Run

ABOUT, EXAMPLES = "export.json", "examples.safetensors"
FORMAT = 1


def describe(graph: Graph, suffix: str) -> dict[str, Any]:
    """Return a graph's file, and its inputs and outputs with their shapes, as plain data.

    A size with a name may be any; the same name is the same size.
    """
    case = graph.cases[0]
    shapes = {
        name: [graph.axes.get(name, {}).get(axis, size) for axis, size in enumerate(x.shape)]
        for name, x in zip(graph.inputs, case, strict=True)
    }
    return {
        "file": f"{graph.name}{suffix}",
        "inputs": [
            {"name": name, "dtype": _dtype(x), "shape": shapes[name]}
            for name, x in zip(graph.inputs, case, strict=True)
        ],
        "outputs": [
            {"name": name, "dtype": _dtype(x)}
            for name, x in zip(graph.outputs, graph.run(case), strict=True)
        ],
        "largest": dict(graph.largest),
    }


def told_of(made: RunGraphs, suffix: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Return what `export.json` says of graphs in any format.

    Args:
        made: The graphs.
        suffix: Of their files.
        checks: What became of comparing each with torch.
    """
    return {
        "graphs": {graph.name: describe(graph, suffix) for graph in made.graphs},
        "rounded": list(made.rounded),
        "checks": [each.to_json() for each in checks],
        **({} if len(made.graphs) == 1 else {"writing": _together(made)}),
    }


def told_of_run(run: Run, made: RunGraphs, suffix: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the same of the graphs of a run, and how they are used together.

    Args:
        run: Whose graphs they are.
        made: As for `told_of`.
        suffix: As for `told_of`.
        checks: As for `told_of`.
    """
    told = told_of(made, suffix, checks)
    return {**told, "writing": told["writing"] | _settings(run)} if "writing" in told else told


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions that made it."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("heedful", "torch", *packages)},
    }


def examples_of(graphs: Sequence[Graph]) -> dict[str, Tensor]:
    """Return real inputs of every graph with what torch made of them, for any program to compare.

    Names are `graph.inputs.name` and `graph.outputs.name`.
    """
    found: dict[str, Tensor] = {}
    for graph in graphs:
        case = graph.cases[0]
        for kind, names, tensors in (
            ("inputs", graph.inputs, case),
            ("outputs", graph.outputs, graph.run(case)),
        ):
            for name, x in zip(names, tensors, strict=True):
                found[f"{graph.name}.{kind}.{name}"] = x.detach().contiguous().clone()
    return found


def _together(graphs: RunGraphs) -> dict[str, Any]:
    """How `start` and `step` are used together."""
    start, step = graphs.graphs
    batch = {
        name: axis
        for name in step.inputs
        for axis, size in step.axes.get(name, {}).items()
        if size == "batch" and name != "tokens"
    }
    return {
        "carried": dict(graphs.carried),
        "kept": list(graphs.kept),
        "batch_axis": batch,
        "longest": min(start.largest.values(), default=None),
    }


def _settings(run: Run) -> dict[str, Any]:
    """How a run writes, and where its vocabularies are."""
    decode = getattr(run.config, "decode", None)
    told = {} if decode is None else decode.model_dump()
    files = run.kind.files
    sides = {side: f"tokens/{side}.json" for side in ("source", "target")}
    return {
        **{name: told[name] for name in ("max_length", "beam", "length_penalty") if name in told},
        **{side: file for side, file in sides.items() if file in files},
    }


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def write_beside(run: Run, graphs: Sequence[Graph], folder: Path) -> None:
    """Write real inputs with torch's answers, and what `copy_task` copies."""
    write_examples(graphs, folder)
    copy_task(run, folder)


def write_examples(graphs: Sequence[Graph], folder: Path) -> None:
    """Write real inputs with torch's answers."""
    write_bytes(folder / EXAMPLES, save(examples_of(graphs)))


def copy_task(run: Run, folder: Path) -> None:
    """Copy what a run knows beside its weights: vocabularies, labels, scales, its settings."""
    write_files(folder, {name: (run.folder / name).read_bytes() for name in run.kind.files})
    if run.plan is not None:
        run.plan.save(folder / "plan.toml")
