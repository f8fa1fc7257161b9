"""What all heads share: a checkpoint answers examples, and metrics compare that with the truth."""

import abc
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from heedful.checkpoints.examples import CheckpointExample, Role
from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.inputs.base import TOGETHER, Inputs
from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError
from heedful.metrics.metric import Metric
from heedful.optimizing.of_model import ModelSpec
from heedful.optimizing.outputs import LABELS

Batch = dict[str, Tensor]
Group = list[CheckpointExample]
CELLS = 1 << 13  # tokens of a batch, at most
LOGITS = 1 << 25  # numbers that a batch of words may have said about it, at most
RATE = 1e-4  # the largest learning rate of fine-tuning: what was trained for long is not shaken up


class Head(abc.ABC):
    """What a checkpoint is for.

    Args:
        checkpoint: Opened.
        inputs: How it reads examples.
    """

    wants: ClassVar[Role | None] = None
    """What says what is right, where the data has it."""

    def __init__(self, checkpoint: Checkpoint, inputs: Inputs) -> None:
        self.config = checkpoint.config
        self.inputs = inputs

    @property
    def processors(self) -> tuple[Any, ...]:
        """The objects of transformers that are to be saved with a model."""
        return (self.inputs.processor,)

    @property
    @abc.abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """What a budget may be about, the usual one first; each reads answers and truths."""

    @abc.abstractmethod
    def answers(self, model: nn.Module, groups: Sequence[Group], metric: str) -> list[Any]:
        """Return an answer for each example, as the metric reads it."""

    def truths(self, groups: Sequence[Group], metric: str) -> list[Any] | None:
        """Return what is right for each example; `None` means what the original answers.

        Raises:
            ConfigError: The metric needs what the data does not say.
        """
        return None

    def batch(self, group: Group) -> Batch:
        """Return what the model is called with, and what is right as `labels` where that is known.

        Raises:
            DataError: An example cannot be read.
        """
        return self.inputs.batch(group)

    def prepared(self, model: nn.Module, examples: Group) -> Group:
        """Return examples with what the original itself must say before they can be used."""
        return examples

    @property
    def spec(self) -> ModelSpec:
        """How the model is called and fine-tuned."""
        return ModelSpec(learning_rate=RATE)

    @property
    def cells(self) -> int:
        """How many tokens, padding included, a batch may have."""
        return CELLS

    def groups(self, examples: Sequence[CheckpointExample]) -> list[Group]:
        """Put examples into groups of like sizes, one for each batch."""
        return self.inputs.groups(examples, together=TOGETHER, cells=self.cells)

    def metric(self, name: str) -> Metric:
        """Return the metric that a budget names.

        Raises:
            ConfigError: There is none such.
        """
        for each in self.metrics:
            if each.name == name:
                return each
        raise ConfigError(unknown_choice("metric", [each.name for each in self.metrics], name))

    def work(self, model: nn.Module, groups: Sequence[Group]) -> object | None:
        """Do what users do with these examples, always the same amount; `None` means one pass."""
        return None


def batches_of(head: Head, model: nn.Module, groups: Sequence[Group]) -> Iterator[Batch]:
    """Make one batch after the other, where the model is."""
    device = next(model.parameters()).device
    for group in groups:
        yield {name: value.to(device) for name, value in head.batch(group).items()}


def called(model: nn.Module, batch: Batch) -> Any:
    """Call a model without what is right."""
    with torch.inference_mode():
        return model(**{name: value for name, value in batch.items() if name != LABELS})


def words_together(config: Any) -> int:
    """Return how many tokens a batch may have where the model says a number for each word."""
    return max(TOGETHER, min(CELLS, LOGITS // max(1, int(config.vocab_size))))
