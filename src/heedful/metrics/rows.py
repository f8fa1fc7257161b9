"""Metrics of rows: the loss and the accuracy of single decisions, e.g. of each token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from heedful.errors import UnsupportedError
from heedful.metrics.metric import CELLS, PER_CENT, Floats, SumMetric

if TYPE_CHECKING:
    from torch import Tensor

UNKNOWN = -100  # stands for the truth of a row where nobody knows it, as in torch


class RowsOf(Protocol):
    """What a model says to a batch, one row a decision; see `heedful.tasks.base.Rows`."""

    @property
    def outputs(self) -> "Tensor":
        """Logits or values, `(rows, values)`."""
        ...

    @property
    def truth(self) -> "Tensor | None":
        """The number of the right class for each row of logits; values for rows of values."""
        ...

    @property
    def example(self) -> "Tensor":
        """Which example of the batch each row is of."""
        ...

    @property
    def kind(self) -> str:
        """`logits` or `values`."""
        ...


def row_loss(*, name: str = "loss") -> SumMetric:
    """Return the mean loss of rows: cross-entropy of logits, the mean squared error of values.

    Its statistics are made of the rows of a batch and the examples of the batch.

    Args:
        name: As budgets call it.
    """
    return SumMetric(
        name=name,
        of=lambda rows, examples: _statistics(name, rows, examples, loss=True),
        higher_is_better=False,
        reads="rows",
    )


def row_accuracy(*, name: str = "accuracy") -> SumMetric:
    """Return the share of rows whose largest logit is that of the right class, in per cent.

    Its statistics are made of the rows of a batch and the examples of the batch.

    Args:
        name: As budgets call it.
    """
    return SumMetric(
        name=name,
        of=lambda rows, examples: _statistics(name, rows, examples, loss=False),
        span=PER_CENT,
        floor=0.0,
        unit="%",
        reads="rows",
    )


def _statistics(name: str, rows: Any, examples: Sequence[Any], *, loss: bool) -> Floats:
    """For each example the sum over its rows whose truth is known, and their number."""
    found, known = _scored(name, rows, loss=loss)
    example = rows.example.cpu().numpy()
    sums = np.zeros((len(examples), 2))
    for column, values in enumerate((found, known)):
        np.add.at(sums[:, column], example, values.double().cpu().numpy())
    return sums


def _scored(name: str, rows: RowsOf, *, loss: bool) -> "tuple[Tensor, Tensor]":
    """What each row scores, 0 where nobody knows its truth, and whether somebody does."""
    import torch
    from torch.nn.functional import cross_entropy

    outputs, truth = rows.outputs, rows.truth
    if truth is None or (rows.kind != "logits" and not loss):
        missing = "no truth" if truth is None else rows.kind
        raise UnsupportedError(f"{name} must have rows of logits with their truth, got {missing}")
    if rows.kind != "logits":
        error = (outputs.float() - truth.float()).square().flatten(1).mean(1)
        return error, torch.ones_like(error)
    known = truth != UNKNOWN
    # a large vocabulary is read a few rows at a time, for float32 may double it
    step = max(1, CELLS // max(1, outputs.shape[-1]))
    parts = zip(outputs.split(step), truth.split(step), strict=True)
    if loss:
        scored = [
            cross_entropy(part.float(), right, ignore_index=UNKNOWN, reduction="none")
            for part, right in parts
        ]
    else:
        scored = [PER_CENT * (part.argmax(-1) == right) for part, right in parts]
    return torch.cat(scored), known
