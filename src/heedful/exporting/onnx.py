"""ONNX: graphs for ONNX Runtime and whoever else reads them."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heedful.errors import HeedfulError, UnsupportedError
from heedful.exporting import int8_layer, onnx_recurrent, translate
from heedful.exporting.about import told_of, told_of_run, write_beside, write_examples
from heedful.exporting.checkpoint_graphs import OpenedCheckpoint, graphs_of_checkpoint
from heedful.exporting.checks import Check, check
from heedful.exporting.graph import Graph, Tensors, told
from heedful.exporting.run_graphs import graphs_of_run
from heedful.files import write_bytes
from heedful.models import recurrent
from heedful.probing.replace import replaced
from heedful.training.run import Run

SUFFIX = ".onnx"
PACKAGES: tuple[str, ...] = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18  # read by every ONNX Runtime since 1.14, and it has no Attention operator: see `NOTE`
NOTE = (
    "A row that sees nothing gives 0: the graph says so itself. The Attention operator of opset "
    "23, which is not used, gives 0 there since ONNX Runtime 1.28, the mean or NaN in 1.23 to 1.27."
)


def write_run(run: Run, folder: Path, *, int8: bool = False) -> dict[str, Any]:
    """Write the graphs of a run, its tokenisers, real inputs with torch's answers.

    Args:
        run: Opened on the CPU.
        folder: New.
        int8: As for `in_full`.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: A site or an operation has no words in ONNX.
        VerificationError: ONNX Runtime says something else than torch.
    """
    made = graphs_of_run(run, int8=int8)
    checks = [write(graph, folder, int8=int8) for graph in made.graphs]
    write_beside(run, made.graphs, folder)
    about = told_of_run(run, made, SUFFIX, checks)
    if "source" in about.get("writing", ()):
        write_bytes(folder / "translate.py", Path(translate.__file__).read_bytes())
    return {"opset": OPSET, "rows_that_see_nothing": NOTE, **about}


def write_checkpoint(
    opened: OpenedCheckpoint, folder: Path, *, int8: bool = False
) -> dict[str, Any]:
    """Write the graph of a checkpoint, and real inputs with torch's answers.

    Args:
        opened: Never changed.
        folder: New.
        int8: As for `in_full`.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: A site or an operation has no words in ONNX, or the checkpoint is no one
            graph.
        VerificationError: ONNX Runtime says something else than torch.
    """
    made = graphs_of_checkpoint(opened, int8=int8)
    checks = [write(graph, folder, int8=int8) for graph in made.graphs]
    write_examples(made.graphs, folder)
    return {"opset": OPSET, "rows_that_see_nothing": NOTE, **told_of(made, SUFFIX, checks)}


def write(graph: Graph, folder: Path, *, int8: bool = False) -> Check:
    """Write one graph, and compare what ONNX Runtime makes of it with what torch does.

    Args:
        graph: What is written.
        folder: Where.
        int8: Does it round to 8 bits? Then both may round a number another way.

    Raises:
        UnsupportedError: ONNX has no word for something in it.
        VerificationError: ONNX Runtime says something else than torch.
    """
    multiply = replaced(int8_layer, "multiply", int8_layer.multiply_in_onnx)
    with replaced(recurrent, "read", onnx_recurrent.read), multiply:
        program = graph.program(plain=False)  # the exporter takes its operators apart
    try:
        with _quietly(), torch.no_grad():
            made: Any = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
            )
            _simplify(made.model)
            content: bytes = made.model_proto.SerializeToString()
    except HeedfulError:
        raise
    except Exception as error:  # the exporter raises what it likes
        raise UnsupportedError(
            f"{graph.name} must be a graph of ONNX, got: {told(error, graph.module)}"
        ) from error
    path = folder / f"{graph.name}{SUFFIX}"
    write_bytes(path, content)
    return check(graph, session(path, graph.inputs), int8=int8)


def session(path: Path, inputs: Sequence[str]) -> Callable[[Tensors], list[Tensor]]:
    """Return a function that runs a file by ONNX Runtime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors; warnings tell of its own optimisations
    run = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    known = {each.name for each in run.get_inputs()}

    def call(case: Tensors) -> list[Tensor]:
        named = zip(inputs, case, strict=True)
        given = {name: x.numpy() for name, x in named if name in known}
        return [torch.from_numpy(each) for each in run.run(None, given)]

    return call


def _simplify(model: Any) -> None:
    """Compute what is constant and drop what nobody reads.

    The exporter's own optimiser takes small numbers for 0: of `log(x + 1e-10)` it leaves `log(x)`.
    ONNX Runtime fuses what can be fused when it loads a file.
    """
    from onnx_ir.passes import Sequential, common
    from onnxscript.optimizer import fold_constants_ir

    common.InlinePass()(model)
    fold_constants_ir(model)
    Sequential(
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.CommonSubexpressionEliminationPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    """Without the exporter's progress, and its notes on packages that are not there."""
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        loud.setLevel(level)
