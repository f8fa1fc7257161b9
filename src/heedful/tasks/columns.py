"""A data set of columns: the simplest that a task can encode its examples to."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heedful.data.batches import MULTIPLE, rounded
from heedful.data.ragged import Ints, Ragged
from heedful.errors import ShapeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Columns:
    """Examples as columns: a `Ragged` for texts, an array for all else, one row an example.

    A batch is a dictionary of tensors; texts are padded, and `NAME_lengths` stands beside `NAME`.

    Args:
        by_length: A batch holds texts alike in length and is so many tokens, padding included;
            else it is so many examples.
        pad: What fills up texts.
        columns: By name.

    Raises:
        ShapeError: Columns are not all of the same length, or there is none.
    """

    def __init__(
        self, *, by_length: bool = False, pad: int = 0, **columns: "Ragged | NDArray[Any]"
    ) -> None:
        counts = {name: len(column) for name, column in columns.items()}
        if len(set(counts.values())) != 1:
            raise ShapeError(f"columns must hold a row for every example, got rows {counts}")
        self.columns, self.pad = columns, pad
        texts = [column.lengths for column in columns.values() if isinstance(column, Ragged)]
        ones = np.ones(len(self), np.int64)
        grouped = by_length and texts
        self.sizes: Ints = rounded(np.stack(texts, axis=1)) if grouped else ones[:, None]
        self.amounts: Ints = np.sum(texts, axis=0) if grouped else ones

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "dict[str, Tensor]":
        """Return these rows of every column; nothing is augmented."""
        import torch

        arrays: dict[str, NDArray[Any]] = {}
        for name, column in self.columns.items():
            if isinstance(column, Ragged):
                padded = column.padded(rows, pad=self.pad, multiple=MULTIPLE)
                arrays[name], arrays[f"{name}_lengths"] = padded
            else:
                arrays[name] = column[np.fromiter(rows, np.int64)]
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

    def fingerprint(self) -> list[int]:
        """Return one number for each column."""
        return [
            column.fingerprint()
            if isinstance(column, Ragged)
            else zlib.crc32(np.ascontiguousarray(column).tobytes())
            for column in self.columns.values()
        ]
