"""The classes of a training, and the rating that each is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from heedful.data.ragged import Ints
from heedful.errors import DataError, RunError
from heedful.files import read_whole, write_json
from heedful.metrics.rows import UNKNOWN
from heedful.tasks.rate_product.products import Product
from heedful.texts import parse_json_as

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 1 << 26  # bytes of a saved one


@dataclass(frozen=True)
class Scale:
    """What classes are worth.

    Args:
        values: The mean rating of each class, from the lowest on: the order of the logits.
        variance: Of all ratings.
    """

    values: dict[str, float]
    variance: float

    @staticmethod
    def fit(examples: Sequence[Product]) -> "Scale":
        """Learn which classes there are, and what they are worth.

        Raises:
            DataError: There are not two.
        """
        scores: dict[str, list[float]] = {}
        for example in examples:
            scores.setdefault(example.label, []).append(example.score or 0.0)
        if len(scores) < 2:
            raise DataError(f"the training split must have two classes or more, got {[*scores]}")
        values = {label: float(np.mean(found)) for label, found in scores.items()}
        variance = float(np.var([example.score or 0.0 for example in examples]))
        return Scale(dict(sorted(values.items(), key=lambda pair: pair[1])), variance)

    @staticmethod
    def load(path: Path) -> "Scale":
        """Read what `save` wrote.

        Raises:
            RunError: The file is damaged, or holds something else.
        """
        scale = parse_json_as(Scale, read_whole(path, most=LARGEST), path)
        numbers = [*scale.values.values(), scale.variance]
        if len(scale.values) < 2 or not (np.isfinite(numbers).all() and scale.variance > 0):
            raise RunError(
                f"{path} must have what two classes or more are worth, got {scale.values!r:.80}"
            )
        return scale

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all."""
        write_json(path, asdict(self))

    def numbers(self, examples: Sequence[Product]) -> Ints:
        """Return the number of each class, -100 where nobody knows it.

        Raises:
            DataError: A class is not one of the training split.
        """
        labels = {label: number for number, label in enumerate(self.values)}
        for label in sorted({example.label for example in examples} - labels.keys() - {""}):
            known = ", ".join(labels)
            raise DataError(f"a class must be one of {known:.200}, got {label!r:.80}")
        return np.array([labels.get(each.label, UNKNOWN) for each in examples], np.int64)

    def expected(self, logits: "Tensor") -> "Tensor":
        """Return the score that is expected of each row of logits."""
        return logits.softmax(-1) @ logits.new_tensor([*self.values.values()])

    def score(self, shares: Mapping[str, float]) -> float:
        """Return the score that is expected of the shares of all classes."""
        return sum(share * self.values[label] for label, share in shares.items())
