"""From a checkpoint of transformers to the graphs of its model, with real inputs."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from heedful.checkpoints.examples import CheckpointData, CheckpointExample
from heedful.checkpoints.folder import Checkpoint, open_checkpoint
from heedful.checkpoints.heads import Head, head_of
from heedful.checkpoints.heads.base import batches_of
from heedful.checkpoints.heads.encoder import EncoderHead
from heedful.checkpoints.heads.seq2seq import Seq2SeqHead
from heedful.checkpoints.problem import some_examples
from heedful.errors import DataError
from heedful.exporting.checkpoint_writing import writer_of
from heedful.exporting.full_precision import in_full
from heedful.exporting.graph import Graph
from heedful.exporting.recording import SIZES, Sizes
from heedful.exporting.run_graphs import RunGraphs
from heedful.exporting.writing import graphs_of_writer
from heedful.optimizing.outputs import LABELS

FEW = sum(SIZES)  # examples that graphs are tried with


@dataclass(frozen=True, kw_only=True)
class OpenedCheckpoint:
    """A checkpoint, what it is for, and a few real examples.

    Args:
        checkpoint: With its model, on the CPU.
        head: What it is for.
        examples: Of several lengths where they differ in it.
    """

    checkpoint: Checkpoint
    head: Head
    examples: Sequence[CheckpointExample]

    @property
    def batches(self) -> list[dict[str, Tensor]]:
        """What the model is called with: a few at a time, another number and length each time."""
        rows, groups = list(self.examples), list[list[CheckpointExample]]()
        for size in SIZES:
            groups.append(rows[:size])
            rows = rows[size:] + rows[:size]
        found = batches_of(self.head, self.checkpoint.model, [group for group in groups if group])
        kept = isinstance(self.head, Seq2SeqHead)  # whose decoder reads them
        return [{name: x for name, x in each.items() if kept or name != LABELS} for each in found]


def opened_for_export(folder: Path, data: CheckpointData | None) -> OpenedCheckpoint:
    """Open a checkpoint with a few real examples.

    Args:
        folder: Of the checkpoint.
        data: Where examples are; `None` as for `some_examples`.

    Raises:
        ConfigError: It reads no texts, and no data is given.
        DataError: The examples cannot be read, or the checkpoint writes nothing for any of them.
        RunError: The folder is damaged.
        UnsupportedError: Nobody here knows what the checkpoint is for.
    """
    checkpoint = open_checkpoint(folder)
    head = head_of(checkpoint)
    read = some_examples(head, data, most=FEW)
    examples = head.prepared(checkpoint.model, read)
    if not examples:
        raise DataError(
            f"an example must have a target, got none for which {checkpoint.architecture} writes "
            f"anything, of {len(read)}"
        )
    return OpenedCheckpoint(checkpoint=checkpoint, head=head, examples=examples)


def graphs_of_checkpoint(opened: OpenedCheckpoint, *, int8: bool = False) -> RunGraphs:
    """Return the graph of a checkpoint: what it says of each place, or of each example.

    What reads one text and writes another has two, `start` and `step`. A causal language model says
    it of all places at once, without a cache.

    Args:
        opened: Its model is never changed.
        int8: As for `in_full`.

    Raises:
        UnsupportedError: It has no layer of int8 where it must, or writes in a way that no graph
            can say.
    """
    full, rounded = in_full(opened.checkpoint.model, int8=int8)
    model = full.float()
    if not isinstance(opened.head, Seq2SeqHead):
        return RunGraphs(graphs=(answering(opened, model),), rounded=tuple(rounded))
    names, cases = _cases(opened, model, without=(LABELS,))
    made = graphs_of_writer(writer_of(model, names, _longest(opened)), cases)
    return RunGraphs(
        graphs=made.graphs, carried=made.carried, kept=made.kept, rounded=tuple(rounded)
    )


def answering(opened: OpenedCheckpoint, model: nn.Module) -> Graph:
    """Return the graph of a model that answers as a checkpoint does, with the real inputs of that.

    Args:
        opened: Whose inputs they are.
        model: In evaluation mode.
    """
    names, cases = _cases(opened, model)
    axes = Sizes().of_all(cases, [[None] * x.ndim for x in cases[0]])
    sizes = {name for named in axes for name in named.values()} - {"batch"}
    said = "last_hidden_state" if isinstance(opened.head, EncoderHead) else "logits"
    longest = _longest(opened)
    return Graph(
        name="model",
        module=_Answering(model, names, said),
        inputs=names,
        outputs=(said,),
        cases=cases,
        axes=dict(zip(names, axes, strict=True)),
        largest={} if longest is None else dict.fromkeys(sizes, longest),
    )


def _cases(
    opened: OpenedCheckpoint, model: nn.Module, without: Sequence[str] = ()
) -> tuple[tuple[str, ...], list[tuple[Tensor, ...]]]:
    """The names of real inputs, and several calls with them: no size of the first one is 1."""
    batches = sorted(opened.batches, key=_smallest, reverse=True)
    names = tuple(name for name in batches[0] if name not in without)
    dtype = next(model.parameters()).dtype
    cases: list[tuple[Tensor, ...]] = []
    for batch in batches:
        given = (batch[name] for name in names)
        cases.append(tuple(x.to(dtype) if x.is_floating_point() else x for x in given))
    return names, cases


def _longest(opened: OpenedCheckpoint) -> int | None:
    longest = getattr(opened.head.inputs, "longest", None)
    return longest if isinstance(longest, int) else None


class _Answering(nn.Module):
    """A model called with tensors in order, of whose answer one part counts."""

    def __init__(self, model: nn.Module, names: Sequence[str], said: str) -> None:
        super().__init__()
        self.model, self.names, self.said = model, tuple(names), said
        takes = inspect.signature(model.forward).parameters
        self.given: dict[str, Any] = {"use_cache": False} if "use_cache" in takes else {}

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self.names, tensors, strict=True))
        return (getattr(self.model(**named, **self.given), self.said),)


def _smallest(batch: dict[str, Tensor]) -> int:
    return min(size for x in batch.values() for size in x.shape)
