"""What a task hands over: examples made ready, decisions row by row, a training step of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from heedful.data.ragged import Ints

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Batch = Any


class Dataset(Protocol):
    """Examples made ready: what batches are cut from.

    Attributes:
        sizes: Room that each example takes in a batch as padded, `(examples, sides)`; ones where
            all are alike.
        amounts: How much each example is in `Task.unit`, `(examples,)`, for throughput.
    """

    @property
    def sizes(self) -> Ints: ...
    @property
    def amounts(self) -> Ints: ...

    def __len__(self) -> int: ...

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> Batch:
        """Return these examples as tensors.

        Args:
            rows: Numbers of examples.
            device: Where the tensors go.
            random: Given while training, for augmentation: the same one for the same batch of the
                same epoch, so that a training that is gone on with is bit for bit the same.
        """
        ...

    def fingerprint(self) -> list[int]:
        """Return numbers of which one changes when any example does."""
        ...


class SameSize:
    """What a `Dataset` says of sizes where every example takes as much room as any other."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must say how many examples there are")

    @property
    def sizes(self) -> Ints:
        """One each."""
        return np.ones((len(self), 1), np.int64)

    @property
    def amounts(self) -> Ints:
        """One each."""
        return np.ones(len(self), np.int64)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a model says to a batch, one row a decision, padding left out: what optimize imitates.

    Args:
        outputs: `(rows, values)`.
        truth: The number of the right alternative in each row, or the right values, which count in
            losses alone; `None` where there is none.
        example: Which example of the batch each row belongs to.
        kind: Are outputs logits of alternatives, or values?
    """

    outputs: "Tensor"
    truth: "Tensor | None"
    example: "Tensor"
    kind: Literal["logits", "values"] = "logits"


class Learner(Protocol):
    """One training step, where one loss and one optimizer do not fit: GANs, reinforcement learning.

    Torch's random numbers are seeded anew for every step, from the seed and its number: a learner
    that draws from nothing else goes on after a stop as if there had been none. It runs in one
    process.

    Attributes:
        model: All that is saved.
        optimizers: By name; their state is saved too.
    """

    @property
    def model(self) -> "nn.Module": ...
    @property
    def optimizers(self) -> Mapping[str, "torch.optim.Optimizer"]: ...

    def step(self, batch: Batch, rate: float) -> Mapping[str, float]:
        """Learn from a batch.

        Args:
            batch: Of the training split.
            rate: The learning rate, after warm-up and decay.

        Returns:
            Numbers for the log; the first one is shown as the loss.
        """
        ...
