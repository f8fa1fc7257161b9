"""A model and all that must be known about it, to spend less of it and prove that it is as good."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from heedful.errors import UnsupportedError
from heedful.optimizing.metric import Floats, Metric

Batch = Any
Split = Literal["validation", "test"]
IMPOSSIBLE = -1e4  # the logarithm of what some models forbid, so that 0 times it is 0
UNKNOWN = -100  # stands for the truth of a row where nobody knows it


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is optimised, seen through functions: nothing else knows which kind of model it is.

    Args:
        model: The original, in evaluation mode. Never changed.
        calibration: A few batches, for scores and least squares.
        training: Endless batches to heal with, for a seed.
        outputs: What the model says to a batch, `(rows, values)`, padding left out.
        kind: Are these logits of alternatives, or values?
        truth: The number of the right alternative for each row of outputs, `UNKNOWN` where nobody
            knows; `None` where no batch says it, or outputs are values.
        statistics: The quality on a split, a row each example, as `metric` reads them.
        metric: What the budget is about.
        test_examples: How many examples the test split has.
        work: What is to become faster: the same amount of work for every candidate.
        use: What users do, for the final timing; not the same amount where outputs differ.
        learning_rate: The largest one while healing.
        low_precision: Heal under bf16 autocast?
    """

    model: nn.Module
    calibration: Sequence[Batch]
    training: Callable[[int], Iterator[Batch]]
    outputs: Callable[[nn.Module, Batch], Tensor]
    kind: Literal["logits", "values"]
    truth: Callable[[Batch], Tensor] | None
    statistics: Callable[[nn.Module, Split], Floats]
    metric: Metric
    test_examples: int
    work: Callable[[nn.Module], object]
    use: Callable[[nn.Module], object]
    learning_rate: float = 3e-4
    low_precision: bool = False

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def runs(self, model: nn.Module) -> list[Callable[[], Tensor]]:
        """Return what lets a model run once on each calibration batch."""
        return [lambda batch=batch: self.outputs(model, batch) for batch in self.calibration]

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of healing."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.low_precision)


def unjudged(*_: object) -> NoReturn:
    """Stand for the data of a subject that is looked at and not optimised.

    Raises:
        UnsupportedError: Always.
    """
    raise UnsupportedError("a subject must have data to be healed and judged, got none")


def divergence(kind: str, student: Tensor, teacher: Tensor) -> Tensor:
    """Return how far outputs are from those of the original: the mean over rows.

    Logits: the Kullback-Leibler divergence, in nats. Values: the squared distance as a share of the
    variance of the original's outputs.

    Source:
        Hinton et al. 2015, arXiv:1503.02531, section 2 (at temperature 1).
    """
    student, teacher = student.float(), teacher.float()
    if kind == "logits":
        student, teacher = (x.log_softmax(-1).clamp(min=IMPOSSIBLE) for x in (student, teacher))
        return (
            nn.functional.kl_div(student, teacher, log_target=True, reduction="none").sum(-1).mean()
        )
    spread = teacher.var(0, correction=0).sum().clamp(min=torch.finfo(torch.float32).tiny)
    return (student - teacher).square().sum(-1).mean() / spread


class Reference:
    """What the original says to the calibration batches, to compare candidates with.

    Args:
        subject: Whose original.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        with torch.inference_mode():
            self.teacher = [subject.outputs(subject.model, x) for x in subject.calibration]

    @torch.inference_mode()
    def damage(self, model: nn.Module) -> float:
        """Return the mean divergence of a model from the original, over rows."""
        rows, total = 0, 0.0
        for batch, teacher in zip(self.subject.calibration, self.teacher, strict=True):
            student = self.subject.outputs(model, batch)
            total += divergence(self.subject.kind, student, teacher).item() * len(teacher)
            rows += len(teacher)
        return total / rows
