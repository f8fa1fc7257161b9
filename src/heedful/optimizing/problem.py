"""A model and all that must be known about it, to spend less of it and prove that it is as good."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from heedful.allocation.moves import Move
from heedful.errors import UnsupportedError
from heedful.metrics.metric import Floats, Metric

Batch = Any
Split = Literal["dev", "test"]
IMPOSSIBLE = -1e4  # the logarithm of what some models forbid, so that 0 times it is 0
KEPT = 1 << 28  # bytes of what the original says that are kept, not computed again
CELLS = 1 << 24  # logits that are compared at a time, in float32


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is optimised, seen through functions: nothing else knows which kind of model it is.

    Args:
        model: The original, in evaluation mode. Never changed.
        calibration: A few batches, for scores and least squares.
        training: Endless batches to fine-tune with, for a seed.
        outputs: What the model says to a batch, `(rows, values)`, padding left out.
        kind: Are these logits of alternatives, or values?
        truth: The number of the right alternative for each row of outputs, `UNKNOWN` where nobody
            knows; `None` where no batch says it, or outputs are values.
        statistics: The quality on a split, a row each example, as `metric` reads them.
        metric: What the budget is about.
        dev_examples: How many examples the dev split has.
        test_examples: How many the test split has.
        work: What is to become faster: the same amount of work for every candidate.
        use: What users do, for the final timing; not the same amount where outputs differ.
        learning_rate: The largest one while fine-tuning.
        low_precision: Fine-tune under bf16 autocast?
        looked: How often the test split was judged on before, as far as is known.
        count_look: Called with a model before it is judged on the test split; returns the number of
            this look, from 1. To look at the same model again is the same look.
        moves: Further moves that a site may make, besides those that heedful proposes.
        left_out: How many examples of each split were left out, because an earlier one holds them.
    """

    model: nn.Module
    calibration: Sequence[Batch]
    training: Callable[[int], Iterator[Batch]]
    outputs: Callable[[nn.Module, Batch], Tensor]
    kind: Literal["logits", "values"]
    truth: Callable[[Batch], Tensor] | None
    statistics: Callable[[nn.Module, Split], Floats]
    metric: Metric
    dev_examples: int
    test_examples: int
    work: Callable[[nn.Module], object]
    use: Callable[[nn.Module], object]
    learning_rate: float = 3e-4
    low_precision: bool = False
    looked: int = 0
    count_look: Callable[[nn.Module], int] = lambda model: 1
    moves: Sequence[Move] = ()
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def runs(self, model: nn.Module) -> list[Callable[[], Tensor]]:
        """Return what lets a model run once on each calibration batch."""
        return [lambda batch=batch: self.outputs(model, batch) for batch in self.calibration]

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of fine-tuning."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.low_precision)


def unavailable(*_: object) -> NoReturn:
    """Stand for the data of a problem that is looked at and not optimised.

    Raises:
        UnsupportedError: Always.
    """
    raise UnsupportedError("a problem must have data to be fine-tuned and judged, got none")


def divergence(kind: str, student: Tensor, teacher: Tensor) -> Tensor:
    """Return how far outputs are from those of the original: the mean over rows.

    Logits: the Kullback-Leibler divergence, in nats. Values: the squared distance as a share of the
    variance of the original's outputs.

    Source:
        Hinton et al. 2015, arXiv:1503.02531, section 2 (at temperature 1).
    """
    if kind == "logits":
        rows = max(1, CELLS // max(1, student.shape[-1]))
        parts = zip(student.split(rows), teacher.split(rows), strict=True)
        return torch.cat([_per_row(*part) for part in parts]).mean()
    student, teacher = student.float(), teacher.float()
    spread = teacher.var(0, correction=0).sum().clamp(min=torch.finfo(torch.float32).tiny)
    return (student - teacher).square().sum(-1).mean() / spread


def _per_row(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = (x.float().log_softmax(-1).clamp(min=IMPOSSIBLE) for x in (student, teacher))
    return nn.functional.kl_div(student, teacher, log_target=True, reduction="none").sum(-1)


class Reference:
    """What the original says to the calibration batches, to compare candidates with.

    As much of it is kept as fits into `KEPT`; to the other batches the original says it again each
    time, which takes a pass of its own: a large vocabulary costs time, not memory.

    Args:
        problem: Whose original.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.kept: dict[int, Tensor] = {}
        left = KEPT
        for number in range(len(problem.calibration)):
            said = self._said(number)
            left -= said.nbytes
            if left < 0:
                break
            self.kept[number] = said

    @torch.inference_mode()
    def divergence(self, model: nn.Module, *, batches: int | None = None) -> float:
        """Return the mean divergence of a model from the original, over rows.

        Args:
            model: Compared.
            batches: Look at so many only, evenly among all; `None` means at all.
        """
        rows, total = 0, 0.0
        for number in _evenly(len(self.problem.calibration), batches):
            batch = self.problem.calibration[number]
            teacher = self._said(number)
            student = self.problem.outputs(model, batch)
            total += divergence(self.problem.kind, student, teacher).item() * len(teacher)
            rows += len(teacher)
        return total / rows

    @torch.inference_mode()
    def _said(self, number: int) -> Tensor:
        kept = self.kept.get(number)
        if kept is not None:
            return kept
        said = self.problem.outputs(self.problem.model, self.problem.calibration[number])
        # a part of a larger tensor would keep all of it
        return said.clone() if said.untyped_storage().nbytes() > said.nbytes else said


def _evenly(count: int, wanted: int | None) -> Sequence[int]:
    """Numbers in the middle of as many equal parts: batches of short and of long texts alike."""
    if wanted is None or wanted >= count:
        return range(count)
    return [count * (2 * part + 1) // (2 * wanted) for part in range(wanted)]
