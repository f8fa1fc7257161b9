"""From a checkpoint of transformers to the graph of its model, with real inputs."""

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
from heedful.errors import DataError, UnsupportedError
from heedful.exporting.full_precision import in_full
from heedful.exporting.graph import Graph
from heedful.exporting.recording import SIZES, Sizes
from heedful.exporting.run_graphs import RunGraphs
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

    A causal language model says it of all places at once, without a cache.

    Args:
        opened: Its model is never changed.
        int8: As for `in_full`.

    Raises:
        UnsupportedError: It reads one text and writes another, or has no layer of int8 where it
            must.
    """
    model = opened.checkpoint.model
    if isinstance(opened.head, Seq2SeqHead):
        raise UnsupportedError(
            "a checkpoint must be one graph to be exported: an encoder, a classifier or a language "
            f"model, got {opened.checkpoint.architecture}, which reads one text and writes another"
        )
    full, rounded = in_full(model, int8=int8)
    return RunGraphs(graphs=(answering(opened, full.float()),), rounded=tuple(rounded))


def answering(opened: OpenedCheckpoint, model: nn.Module) -> Graph:
    """Return the graph of a model that answers as a checkpoint does, with the real inputs of that.

    Args:
        opened: Whose inputs they are.
        model: In evaluation mode.
    """
    batches = sorted(opened.batches, key=_smallest, reverse=True)  # no size of what is traced is 1
    names, dtype = tuple(batches[0]), next(model.parameters()).dtype
    cases = [
        tuple(x.to(dtype) if x.is_floating_point() else x for x in batch.values())
        for batch in batches
    ]
    axes = Sizes().of_all(cases, [[None] * x.ndim for x in cases[0]])
    sizes = {name for named in axes for name in named.values()} - {"batch"}
    said = "last_hidden_state" if isinstance(opened.head, EncoderHead) else "logits"
    longest = getattr(opened.head.inputs, "longest", None)
    return Graph(
        name="model",
        module=_Answering(model, names, said),
        inputs=names,
        outputs=(said,),
        cases=cases,
        axes=dict(zip(names, axes, strict=True)),
        largest=dict.fromkeys(sizes, longest) if isinstance(longest, int) else {},
    )


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
