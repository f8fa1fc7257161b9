"""What all kinds of inputs share: examples become batches, and two that look the same are one."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from heedful.checkpoints.examples import CheckpointExample, Role
from heedful.checkpoints.folder import Checkpoint, reading
from heedful.errors import RunError
from heedful.files import reason

TOGETHER = 32  # examples in a batch, at most


class Inputs(abc.ABC):
    """How examples become what a model reads."""

    needs: ClassVar[Role]
    """What an example must have."""
    wants: ClassVar[tuple[Role, ...]] = ()
    """What is read too, where it is there."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Of the files of a folder; empty where no folder is read."""
    most: ClassVar[Mapping[str, int]]
    """How many examples each split keeps at most."""

    @abc.abstractmethod
    def identity(self, example: CheckpointExample) -> str:
        """Return a text that is equal for examples that are the same to the model.

        Raises:
            DataError: It cannot be read.
        """

    @abc.abstractmethod
    def size(self, example: CheckpointExample) -> int:
        """Return how long it is, in what the model reads; 0 where all are equally long."""

    @abc.abstractmethod
    def batch(self, examples: Sequence[CheckpointExample]) -> dict[str, Tensor]:
        """Return what the model is called with, padded to the longest."""

    @property
    @abc.abstractmethod
    def processor(self) -> Any:
        """The object of transformers, to be saved with a model."""

    def groups(
        self, examples: Sequence[CheckpointExample], *, together: int = TOGETHER, cells: int
    ) -> list[list[CheckpointExample]]:
        """Put examples of like sizes together, so that little is padded.

        Args:
            examples: Of one split.
            together: How many at most.
            cells: How many sizes at most, padding included; a larger example is alone.
        """
        found: list[list[CheckpointExample]] = []
        largest = 0
        for example in sorted(examples, key=self.size):
            size = max(largest, self.size(example), 1)
            if found and len(found[-1]) < together and size * (len(found[-1]) + 1) <= cells:
                found[-1].append(example)
                largest = size
            else:
                found.append([example])
                largest = self.size(example)
        return found


def opened(kind: Any, checkpoint: Checkpoint, what: str, **settings: Any) -> Any:
    """Return what a checkpoint's folder says of its inputs, opened by a class of transformers.

    Args:
        kind: `AutoTokenizer` or the like.
        checkpoint: Its folder alone is read: no network, and no code of its own.
        what: What it is called in an error.
        settings: More arguments of `from_pretrained`.

    Raises:
        RunError: There is none, or it is damaged.
    """
    try:
        with reading():
            return kind.from_pretrained(
                checkpoint.folder, local_files_only=True, trust_remote_code=False, **settings
            )
    except Exception as error:  # transformers raises anything where a folder is damaged
        raise RunError(
            f"{checkpoint.folder} must hold its {what}, got: {reason(error):.200}"
        ) from None
