"""Classification: right labels where they are known, else the labels that the original gives."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.heads.base import Batch, Group, Head, batches_of, called
from heedful.checkpoints.inputs.base import Inputs
from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.metrics.classification import accuracy
from heedful.metrics.metric import Metric
from heedful.metrics.reading import itself
from heedful.optimizing.outputs import LABELS


class LabelsHead(Head):
    """One label for a text, a pair of texts, an image or a sound.

    Args:
        checkpoint: Opened.
        inputs: How it reads examples.

    Raises:
        UnsupportedError: It gives numbers, or several labels at a time.
    """

    wants = "label"

    def __init__(self, checkpoint: Checkpoint, inputs: Inputs) -> None:
        super().__init__(checkpoint, inputs)
        config = checkpoint.config
        problem = getattr(config, "problem_type", None)
        if config.num_labels < 2 or problem in ("regression", "multi_label_classification"):
            raise UnsupportedError(
                "a classifier must choose one of two labels at least, got "
                f"{problem or f'{config.num_labels} labels'}"
            )
        self.numbers = {str(name): int(number) for number, name in config.id2label.items()}
        text = hasattr(inputs.processor, "pad_token_id")
        if text and getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = inputs.processor.pad_token_id  # decoders look for the last token

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Right labels, and the same labels as the original's, in per cent."""
        return tuple(accuracy(name=name, truth=itself) for name in ("accuracy", "agreement"))

    def number(self, label: str) -> int:
        """Return the number of a label.

        Raises:
            DataError: The model has no such label.
        """
        found = self.numbers.get(label)
        if found is None and label.isdecimal() and int(label) < len(self.numbers):
            found = int(label)
        if found is None:
            known = ", ".join(self.numbers)
            raise DataError(f"labels must be of {known:.200}, got {label!r:.80}")
        return found

    def batch(self, group: Group) -> Batch:
        """Return inputs, with labels where they are known."""
        found = self.inputs.batch(group)
        if all(example.label for example in group):
            found[LABELS] = torch.tensor([self.number(example.label) for example in group])
        return found

    def answers(self, model: nn.Module, groups: Sequence[Group], metric: str) -> list[Any]:
        """Return the number of the likeliest label of each example."""
        found = [
            called(model, batch).logits.argmax(-1) for batch in batches_of(self, model, groups)
        ]
        return torch.cat(found).tolist()

    def truths(self, groups: Sequence[Group], metric: str) -> list[Any] | None:
        """Return the numbers of the right labels; of agreement what the original says is right."""
        if metric == "agreement":
            return None
        labels = [example.label for group in groups for example in group]
        if not all(labels):
            raise ConfigError(
                "accuracy must have data with labels, got none. Name their column (--column "
                "label=NAME), or ask for agreement with the original"
            )
        return [self.number(label) for label in labels]
