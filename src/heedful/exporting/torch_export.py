"""torch.export: graphs for torch itself, in Python and C++, without heedful."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from heedful.exporting.about import told_of, write_beside
from heedful.exporting.checks import Check, check
from heedful.exporting.graph import Tensors
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
    checks: list[Check] = []
    for graph in made.graphs:
        program = graph.program()
        checks.append(check(graph, partial(_run, program.module())))
        program.example_inputs = None  # which would be pickled; weights are not
        torch.export.save(program, folder / f"{graph.name}{SUFFIX}")
    write_beside(run, made.graphs, folder)
    return {**told_of(run, made, SUFFIX, checks), "safe_to_load": SAFE}


@torch.no_grad()
def _run(module: Any, case: Tensors) -> Tensors:
    return module(*case)
