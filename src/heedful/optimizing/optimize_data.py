"""Three disjoint splits: to calibrate on, to choose with, and to judge on once."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from heedful.errors import DataError
from heedful.optimizing.digest import digest
from heedful.renamed import old_keywords

NAMES = ("calibration", "dev", "test")
STORED = {"dev": "validation"}  # as journals name it


@old_keywords(validation="dev")
@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizeData:
    """Examples of an optimisation, each of them in one split only.

    What an example is, is up to the model: a tensor, a text, a tuple or a dict of them. Two are the
    same when all of their content is, labels included. Where the same input with another label,
    or with other padding, should count as the same, `key` says what identifies an example.

    Args:
        calibration: What importance is measured and what is cut is repaired with.
        dev: What candidates are compared on.
        test: What the verdict is given on, once.
        key: From an example to what must not recur in another split. `None` means: all of it.

    Raises:
        DataError: A split is not a sequence with a length, or is empty, or shares an example with
            another, or an example holds what has no content to compare.

    Cost:
        Reads every example once. Nothing is sampled: one shared example is found.
    """

    calibration: Sequence[Any] = field(repr=False)
    dev: Sequence[Any] = field(repr=False)
    test: Sequence[Any] = field(repr=False)
    key: Callable[[Any], Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in NAMES:
            _check_sequence(name, getattr(self, name))
        places = {name: self._places(getattr(self, name)) for name in NAMES}
        for first, second in itertools.combinations(NAMES, 2):
            shared = places[first].keys() & places[second].keys()
            if shared:
                example = min(shared, key=places[first].__getitem__)
                raise DataError(
                    f"splits must be disjoint, got {len(shared)} "
                    f"{'example' if len(shared) == 1 else 'examples'} in both {first} and "
                    f"{second}, the first at {first}[{places[first][example]}] and "
                    f"{second}[{places[second][example]}]"
                )

    def contents(self) -> dict[str, str]:
        """Return what each split holds, as 32 letters that are the same for the same content only.

        Where an example holds what has no content to compare, it is what `key` says of it.
        """
        return {STORED.get(name, name): self._content(getattr(self, name)) for name in NAMES}

    def _content(self, split: Sequence[Any]) -> str:
        def of(example: Any) -> bytes:
            try:
                return digest(example)
            except DataError:
                if self.key is None:
                    raise
                return digest(self.key(example))

        return digest([of(split[row]) for row in range(len(split))]).hex()

    def _places(self, split: Sequence[Any]) -> dict[bytes, int]:
        """Where each content first stands."""
        places: dict[bytes, int] = {}
        for row in range(len(split)):
            example = split[row] if self.key is None else self.key(split[row])
            places.setdefault(digest(example), row)
        return places


def _check_sequence(name: str, split: object) -> None:
    sized = hasattr(split, "__len__") and hasattr(split, "__getitem__")
    if not sized or isinstance(split, str | bytes | bytearray | Mapping):
        raise DataError(
            f"{name} must be a sequence of examples with a length, such as a list, "
            f"got {type(split).__name__}"
        )
    if isinstance(split, Tensor | np.ndarray) and not split.ndim:
        raise DataError(f"{name} must be a sequence of examples, got a single number")
    if len(split) == 0:  # pyright: ignore[reportArgumentType]
        raise DataError(f"{name} must hold an example, got none")
