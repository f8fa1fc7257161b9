"""torch.export: graphs for torch itself, in Python and C++, without heedful."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch

from heedful.exporting.about import told_of, told_of_run, write_beside, write_examples
from heedful.exporting.checkpoint_graphs import OpenedCheckpoint, graphs_of_checkpoint
from heedful.exporting.checks import Check, check
from heedful.exporting.graph import Graph, Tensors
from heedful.exporting.run_graphs import graphs_of_run
from heedful.training.run import Run

PACKAGES: tuple[str, ...] = ()
SUFFIX = ".pt2"
SAFE = (
    "This archive holds JSON and plain numbers, no pickle. torch.export.load unpickles, without "
    "limit, what it finds in others: open only those whose maker you trust."
)


def write_run(run: Run, folder: Path) -> dict[str, Any]:
    """Write the graphs of a run, in operations of torch alone, with real inputs and answers.

    Args:
        run: Opened on the CPU.
        folder: New.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: A site does what no graph can say for any size.
        VerificationError: The graph says something else than the model.
    """
    made = graphs_of_run(run)
    checks = [write(graph, folder) for graph in made.graphs]
    write_beside(run, made.graphs, folder)
    return {**told_of_run(run, made, SUFFIX, checks), "safe_to_load": SAFE}


def write_checkpoint(opened: OpenedCheckpoint, folder: Path) -> dict[str, Any]:
    """Write the graph of a checkpoint, as `write_run` writes those of a run.

    Args:
        opened: Never changed.
        folder: New.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: A site does what no graph can say for any size, or the checkpoint is no
            one graph.
        VerificationError: The graph says something else than the model.
    """
    made = graphs_of_checkpoint(opened)
    checks = [write(graph, folder) for graph in made.graphs]
    write_examples(made.graphs, folder)
    return {**told_of(made, SUFFIX, checks), "safe_to_load": SAFE}


def write(graph: Graph, folder: Path) -> Check:
    """Write one graph, and compare what comes of it with what the model says.

    Args:
        graph: What is written.
        folder: Where.

    Raises:
        UnsupportedError: As for `write_run`.
        VerificationError: As for `write_run`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*treespec", FutureWarning)  # by torch, to itself
        program = graph.program()
        found = check(graph, partial(_run, program.module()))
        program.example_inputs = None  # which would be pickled; weights are not
        torch.export.save(program, folder / f"{graph.name}{SUFFIX}")
    return found


@torch.no_grad()
def _run(module: Any, case: Tensors) -> Tensors:
    return module(*case)
