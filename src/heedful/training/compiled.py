"""The loss of a task, compiled by torch: the same numbers up to rounding, in less time a step."""

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from heedful.errors import TrainingError
from heedful.tasks.base import Task

Loss = Callable[[nn.Module, Any], tuple[Tensor, int]]


def compiled_loss(task: Task[Any, Any]) -> Loss:
    """Return a task's loss as `torch.compile` makes it, for batches of any size.

    Only training calls it, so that what measures, explains or saves meets the model as it is.

    Raises:
        TrainingError: Torch cannot compile it here; by the first call that shows it.

    Cost:
        Compiled at the first call, and anew for each precision: about a minute on two cores for a
        Transformer of four layers, a third of that where torch finds it in its cache.
    """
    if "TORCH_LOGS" not in os.environ:  # where a graph ends early is nothing to be warned of
        logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    compiled = torch.compile(task.loss, dynamic=True)

    def loss(model: nn.Module, batch: Any) -> tuple[Tensor, int]:
        try:
            return compiled(model, batch)
        except RuntimeError as error:
            # asked by name: what holds the class takes a second to import
            if not any(kind.__name__ == "TorchDynamoException" for kind in type(error).__mro__):
                raise
            cause = getattr(error, "inner_exception", error)  # of the compiler behind it
            told = " ".join([type(cause).__name__, *str(cause).split()])
            raise TrainingError(
                f"train.compile must be false where torch cannot compile, got {told:.200}"
            ) from None

    return loss
