"""What takes a training step: one optimizer on one loss, or a learner that a task brings along."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from heedful.config.base import Train
from heedful.distributed.fsdp import check_loss, norm_of, shard_model, synchronise
from heedful.errors import TrainingError, UnsupportedError
from heedful.tasks.base import Learner, Task
from heedful.training.compiled import Loss, compiled_loss
from heedful.training.optimizer import adamw


class Taken(NamedTuple):
    """What one step came to: a loss summed over `decisions`, and what else is logged."""

    loss: float
    decisions: float
    values: Mapping[str, float]


class NoNumberError(TrainingError):
    """What should become small is no number any more."""


class Stepper(Protocol):
    """What the loop needs of a learner.

    Attributes:
        bare: The model, as checkpoints hold it.
        root: What is spread over processes, if anything is: the model, and what is around it.
        draws_anew: Random numbers are seeded for every step, not kept from step to step.
    """

    bare: nn.Module
    root: nn.Module
    draws_anew: bool

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    precision: str

    def step(self, batches: Sequence[Any], learning_rate: float) -> Taken:
        """Learn from some batches: one step.

        Raises:
            NoNumberError: The loss is not finite.
        """
        ...


def stepper(task: Task[Any, Any], model: nn.Module, accelerator: Accelerator) -> Stepper:
    """Return what learns a task.

    Raises:
        UnsupportedError: Several processes are to train what a learner of the task's own trains, it
            is to accumulate gradients or to be compiled, or what is compiled is to be spread.
    """
    learner = task.learner(model.to(accelerator.device))
    if learner is None:
        return Supervised(task, model, accelerator)
    check_alone(task.config.task, accelerator)
    if task.config.train.accumulate > 1:
        raise UnsupportedError(
            f"{task.config.task} must learn from one batch a step, got train.accumulate = "
            f"{task.config.train.accumulate}"
        )
    if task.config.train.compile:
        raise UnsupportedError(
            f"{task.config.task} has a learner of its own, so train.compile must be false, got true"
        )
    return OwnLearner(learner)


def check_alone(name: str, accelerator: Accelerator) -> None:
    """Check that a task with a learner of its own is trained in one process.

    Raises:
        UnsupportedError: There are several.
    """
    if accelerator.num_processes > 1:
        raise UnsupportedError(
            f"{name} must be trained in one process, got {accelerator.num_processes}"
        )


class Door(nn.Module):
    """A model of which any method may be called for a gradient, within one forward pass of this.

    What averages gradients over processes, or spreads parameters, sees forward passes alone.

    Args:
        model: Whose methods those are.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Any]) -> Any:
        """Return what is computed: with a batch as an argument, that would be copied again."""
        return work()


class Supervised:
    """AdamW on the mean of a task's loss, over all batches of a step and all processes.

    Args:
        task: Whose loss.
        model: On the CPU; goes to where the accelerator is.
        accelerator: Of the training.

    Raises:
        UnsupportedError: What is compiled is to be spread over processes.
    """

    def __init__(self, task: Task[Any, Any], model: nn.Module, accelerator: Accelerator) -> None:
        self.task, self.accelerator = task, accelerator
        self.settings: Train = task.config.train
        self.precision = str(self.settings.precision)
        self.several = accelerator.num_processes > 1
        self.draws_anew: bool = self.several  # a checkpoint holds those of one
        spread = self.several and self.settings.strategy == "fsdp"
        if spread and self.settings.compile:
            raise UnsupportedError(
                'train.compile must be false where train.strategy = "fsdp", got true'
            )
        self.loss: Loss = compiled_loss(task) if self.settings.compile else task.loss
        self.bare = model
        self.root: nn.Module = Door(model)
        if spread:
            shard_model(self.root, device=accelerator.device.type)
        plain = adamw(model, self.settings)
        self.model: nn.Module = self.root if spread else accelerator.prepare(self.root)
        self.optimizer: torch.optim.Optimizer = accelerator.prepare(plain)
        self.optimizers = {"main": plain}

    def step(self, batches: Sequence[Any], learning_rate: float) -> Taken:
        """Learn from some batches, of which each process has as many."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        first, *more = batches
        synchronise(self.model, not more)
        loss, count = self._add_gradient(first, None)
        unit = count
        for number, batch in enumerate(more, 1):
            synchronise(self.model, number == len(more))
            found = self._add_gradient(batch, unit)
            loss, count = loss + found[0], count + found[1]
        if more:  # each was divided by what the first one holds
            self._scale_gradients(unit / count)
        parameters = self.model.parameters()
        norm = norm_of(self.accelerator.clip_grad_norm_(parameters, self.settings.clip))
        summed = loss.item()
        if not math.isfinite(summed) or not math.isfinite(norm):
            raise NoNumberError(f"{(loss / count).item()} with a gradient of norm {norm}")
        self.optimizer.step()
        self.optimizer.zero_grad()
        return Taken(summed, float(count), {})

    def _add_gradient(self, batch: Any, unit: Tensor | None) -> tuple[Tensor, Tensor]:
        """Add the gradient of the loss of a batch, in this unit or in that of how much it holds.

        Returns:
            The sum of its losses and how many there are, over all processes.
        """
        accelerator = self.accelerator
        low = self.precision == "bf16"
        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=low):
            total, own = self.model(lambda: self.loss(self.bare, batch))
        check_loss(total)
        # processes are averaged over, but each holds a different number of decisions
        count, loss = torch.tensor(own, device=total.device), total.detach()
        if self.several:
            sums = torch.stack([loss.float(), count.float()])
            loss, count = cast(Tensor, accelerator.reduce(sums))
        everywhere = count if unit is None else unit
        accelerator.backward(total * accelerator.num_processes / everywhere)
        return loss, count

    def _scale_gradients(self, factor: Tensor) -> None:
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad *= factor.item()


class OwnLearner:
    """A learner that a task brings along, in single precision.

    Args:
        learner: Of the task.

    Raises:
        UnsupportedError: It moves what no checkpoint would hold.
    """

    precision = "fp32"
    draws_anew = True  # what scores have drawn in between does not matter

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.bare = self.root = learner.model
        self.optimizers = learner.optimizers
        moved = [
            parameter
            for optimizer in self.optimizers.values()
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        own = set(self.bare.parameters())
        if len(set(moved)) < len(moved) or not own.issuperset(moved):
            raise UnsupportedError(
                "the optimizers of a learner must hold parameters of its model, each of them once, "
                f"got {sum(each not in own for each in moved)} others and "
                f"{len(moved) - len(set(moved))} more than once"
            )

    def step(self, batches: Sequence[Any], learning_rate: float) -> Taken:
        """Let the learner take its step, from one batch."""
        self.bare.train()
        (batch,) = batches
        values = self.learner.step(batch, learning_rate)
        loss = next(iter(values.values()))
        if not all(map(math.isfinite, values.values())):
            raise NoNumberError(", ".join(f"{name} = {value}" for name, value in values.items()))
        return Taken(loss, 1.0, values)
