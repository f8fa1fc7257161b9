"""What all tasks share whose answer is one label: its loss, its scores, its answers, its files."""

import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

from heedful.data.batches import alike, size_batches
from heedful.data.examples import Splits
from heedful.data.ragged import Ints
from heedful.errors import DataError, RunError
from heedful.files import read_json, read_whole, write_json
from heedful.metrics.classification import accuracy, macro_f1
from heedful.metrics.rows import UNKNOWN, row_loss
from heedful.tasks.base import Batch, Dataset, Rows, Task, device_of
from heedful.texts import parse_json_as

if TYPE_CHECKING:
    from torch import Tensor, nn

LABEL = attrgetter("label")
LABELS = "task/labels.json"
LARGEST = 1 << 26  # bytes of labels


class HasLabel(Protocol):
    """An example with a label, which is empty where nobody knows it."""

    @property
    def label(self) -> str: ...


Example = TypeVar("Example", bound=HasLabel)


@dataclass(frozen=True)
class Prediction:
    """The most likely label, and the share of each one."""

    label: str
    shares: dict[str, float]


class Classification(Task[Example, Prediction]):
    """A task whose answer is one label: what is left to say is the data, the network, its logits.

    The config's `train` has a `label_smoothing`. A batch has the numbers of its labels where
    `truth` finds them: under `"label"`, unless a task says otherwise.

    Args:
        config: Of the training.
        labels: All there are, in the order of the logits.

    Attributes:
        answered: Examples that are answered at a time.
        answered_room: The largest room of these, of their padded sizes summed up.
    """

    metrics = (accuracy(answer=LABEL), macro_f1(answer=LABEL), row_loss())
    files: ClassVar[tuple[str, ...]] = (LABELS,)
    monitor = "accuracy"
    answered: ClassVar[int] = 256
    answered_room: ClassVar[int] = 256 * 128

    def __init__(self, config: Any, labels: Sequence[str]) -> None:
        super().__init__(config)
        self.labels = {label: number for number, label in enumerate(labels)}

    @abc.abstractmethod
    def logits(self, model: "nn.Module", batch: Batch) -> "Tensor":
        """Return the logits of a batch, `(examples, labels)`."""

    @classmethod
    def fit(cls, config: Any, examples: Sequence[Example]) -> Self:
        """Learn which labels there are."""
        return cls(config, labels_of(examples))

    def save(self, folder: Path) -> None:
        """Write the labels."""
        write_json(folder / LABELS, list(self.labels))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Read the labels."""
        return cls(config, read_labels(folder / LABELS))

    def numbers(self, examples: Sequence[Example]) -> Ints:
        """Return the number of each label, -100 where nobody knows it.

        Raises:
            DataError: A label is not one of the training split.
        """
        for label in sorted({example.label for example in examples} - self.labels.keys() - {""}):
            known = ", ".join(self.labels)
            raise DataError(f"a label must be one of {known:.200}, got {label!r:.80}")
        return np.array([self.labels.get(each.label, UNKNOWN) for each in examples], np.int64)

    def loss(self, model: "nn.Module", batch: Batch) -> "tuple[Tensor, int]":
        """Return the cross-entropy summed over examples, and how many those are."""
        from torch.nn.functional import cross_entropy

        truth, smoothing = self.truth(batch), self.config.train.label_smoothing
        logits = self.logits(model, batch)
        loss = cross_entropy(logits, truth, reduction="sum", label_smoothing=smoothing)
        return loss, len(truth)

    def scores(self, model: "nn.Module", dev: Dataset) -> dict[str, float]:
        """Return the cross-entropy an example, and the share of right labels in per cent."""
        from torch.nn.functional import cross_entropy

        loss, right, device = 0.0, 0, device_of(model)
        for rows in size_batches(dev.sizes, most=self.batch_limit, seed=0, epoch=0):
            batch = dev.batch(rows, device)
            logits, truth = self.logits(model, batch), self.truth(batch)
            loss += cross_entropy(logits, truth, reduction="sum").item()
            right += int((logits.argmax(-1) == truth).sum())
        return {"dev_loss": loss / len(dev), "accuracy": 100 * right / len(dev)}

    def answer(self, model: "nn.Module", data: Any) -> list[Prediction]:
        """Label every example."""
        import torch

        names, device = list(self.labels), device_of(model)
        found: dict[int, Prediction] = {}
        room = data.sizes.sum(1)
        with torch.inference_mode():
            for rows in alike(room, most=self.answered, tokens=self.answered_room):
                shares = self.logits(model, data.batch(rows, device)).float().softmax(-1)
                for row, each in zip(rows, shares.cpu().tolist(), strict=True):
                    best = max(range(len(names)), key=each.__getitem__)
                    found[row] = Prediction(names[best], dict(zip(names, each, strict=True)))
        return [found[row] for row in range(len(data))]

    def pooling_weights(self, model: "nn.Module", data: Dataset) -> "Tensor":
        """Return how `model.pooling` weighs what it pools, `(examples, keys)`: the heads' mean.

        The examples must fit into one batch.
        """
        import torch

        from heedful.probing.probe import probe

        with torch.inference_mode(), probe(model, sites="pooling") as heard:
            self.logits(model, data.batch(range(len(data)), device_of(model)))
        return heard.maps("pooling")[:, :, 0].mean(1)

    def kind(self, example: Example) -> str:
        """Return the label, for scores by label."""
        return example.label

    def show(self, answer: Prediction) -> str:
        """Return the label and its share."""
        return f"{answer.label}\t{answer.shares[answer.label]:.0%}"

    def to_json(self, example: Example, answer: Prediction) -> dict[str, Any]:
        """Return the label and the shares of all labels."""
        return {"label": answer.label, "shares": answer.shares}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no label."""
        return {"input": text, "label": None, "shares": {}}

    def rows(self, model: "nn.Module", batch: Batch) -> Rows:
        """Return the logits, a row for each example."""
        import torch

        logits = self.logits(model, batch)
        here = torch.arange(len(logits), device=logits.device)
        return Rows(outputs=logits, truth=self.truth(batch), example=here)

    def truth(self, batch: Batch) -> "Tensor":
        """Return the numbers of the labels."""
        return batch["label"]


def labels_of(examples: Iterable[HasLabel]) -> list[str]:
    """Return the labels of a training split, each once, in order.

    Raises:
        DataError: There are not two.
    """
    labels = sorted({example.label for example in examples})
    if len(labels) < 2:
        raise DataError(f"the training split must have two labels or more, got {labels}")
    return labels


def read_labels(path: Path) -> list[str]:
    """Read the labels of a run.

    Raises:
        RunError: The file is damaged, or holds fewer than two labels or one twice.
    """
    labels = parse_json_as(list[str], read_whole(path, most=LARGEST), path)
    if len(set(labels)) < max(2, len(labels)):
        raise RunError(f"{path} must have two labels or more, each once, got {labels!r:.80}")
    return labels


def write_size(path: Path, size: int, channels: int) -> None:
    """Write how large the square images of a run are, or the frames of its videos."""
    write_json(path, {"size": size, "channels": channels})


def read_size(path: Path) -> tuple[int, int]:
    """Read how large they are: pixels a side, and channels.

    Raises:
        RunError: The file is damaged.
    """
    about: Any = read_json(path)
    keys = ("size", "channels")
    size, channels = map(about.get, keys) if isinstance(about, dict) else (None, None)
    if type(size) is not int or not 0 < size <= 100_000 or channels not in (1, 3):
        raise RunError(f"{path} must hold a size and 1 or 3 channels, got {about!r:.80}")
    return size, channels


def check_labels(splits: Splits[Any]) -> Splits[Any]:
    """Return splits of which dev and test have no label that the training split has not.

    Raises:
        DataError: One has.
    """
    known = {example.label for example in splits.train}
    for name in ("dev", "test"):
        strange = sorted({example.label for example in getattr(splits, name)} - known)
        if strange:
            raise DataError(
                f"the {name} split must have labels of the training split, got {strange[0]!r:.80}"
            )
    return splits
