"""What a model says to an input with pieces removed: each way to remove them is asked once."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from heedful.devices import device_of
from heedful.errors import DataError, ShapeError
from heedful.explaining.looks import differentiable
from heedful.explaining.question import Question

COPIES = 128  # of an input that go through the model together, of longer ones fewer
PLACES = 2**16  # pieces of all of these
DECISIONS = 2**12  # targets of all of these: each may be one of a vocabulary
ROUNDINGS = 16  # by which scores differ at most because other copies went along


def copies_at_once(question: Question, most: int = COPIES) -> int:
    """Return how many copies of an input go through the model together: what bounds memory."""
    places = max(len(question.pieces) * question.together, len(question.embedded))
    return max(1, min(most, PLACES // places, DECISIONS // len(question.targets)))


class KeptScores:
    """The scores of all targets, by which pieces were kept.

    Args:
        model: Of which the question is; it answers as in evaluation, without gradients.
        question: What is asked.

    Attributes:
        pieces: How many the input has.

    Cost:
        One copy of the input for every set of pieces that was not asked for before, 128 at a time
        (fewer of more than 512 pieces or 32 targets), and a number for each target of it in memory.
    """

    def __init__(self, model: nn.Module, question: Question) -> None:
        self._model, self._question = model, question
        self._known: dict[bytes, NDArray[np.float64]] = {}
        self._eps = 0.0
        self.pieces = len(question.pieces)

    def of(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the scores `(sets, targets)` of inputs that keep these `(sets, pieces)`.

        Raises:
            DataError: A score is not finite.
            ShapeError: The question gives scores of another shape.
        """
        names = [row.tobytes() for row in np.packbits(kept, axis=1)]
        rows = {name: row for row, name in enumerate(names) if name not in self._known}
        missing = [*rows]
        with differentiable(self._model, on=False), torch.inference_mode():
            size = copies_at_once(self._question, COPIES)
            for start in range(0, len(missing), size):
                some = missing[start : start + size]
                scores = self._ask(kept[[rows[name] for name in some]])
                self._known.update(zip(some, scores, strict=True))
        targets = len(self._question.targets)
        return np.stack([self._known[name] for name in names]).reshape(-1, targets)

    def whole(self) -> NDArray[np.float64]:
        """Return the scores `(targets,)` of the input as it is."""
        return self.of(np.ones((1, self.pieces), bool))[0]

    def rounding(self) -> float:
        """Return the difference up to which two scores may be one number, rounded twice."""
        largest = max(float(abs(scores).max()) for scores in self._known.values())
        return ROUNDINGS * self._eps * largest

    def _ask(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        inputs = self._question.inputs(torch.from_numpy(kept).to(device_of(self._model)))
        scores = self._question.scores(self._model, inputs)
        expected = (len(kept), len(self._question.targets))
        if tuple(scores.shape) != expected:
            raise ShapeError(
                f"scores must be (copies, targets) = {expected}, got {tuple(scores.shape)}"
            )
        if not scores.isfinite().all():
            target = int(scores.isfinite().all(0).logical_not().nonzero()[0])
            raise DataError(
                "scores must be finite to tell what removing a piece does, "
                f"got others of {self._question.targets[target]!r}"
            )
        self._eps = torch.finfo(scores.dtype).eps
        return scores.double().cpu().numpy()
