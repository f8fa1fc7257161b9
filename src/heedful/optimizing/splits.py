"""Three disjoint splits: to calibrate on, to choose with, and to judge on once."""

import itertools
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, is_dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heedful.errors import DataError

NAMES = ("calibration", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """Examples of an optimisation, each of them in one split only.

    What an example is, is up to the model: a tensor, a text, a tuple or a dict of them. Two are the
    same when all of their content is, labels included. Where the same input with another label,
    or with other padding, should count as the same, `key` says what identifies an example.

    Args:
        calibration: What importance is measured and what is cut is repaired with.
        validation: What candidates are compared on.
        test: What the verdict is given on, once.
        key: From an example to what must not recur in another split. `None` means: all of it.

    Raises:
        DataError: A split is not a sequence with a length, or is empty, or shares an example with
            another, or an example holds what has no content to compare.

    Cost:
        Reads every example once. Nothing is sampled: one shared example is found.
    """

    calibration: Sequence[Any] = field(repr=False)
    validation: Sequence[Any] = field(repr=False)
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
        return {name: self._content(getattr(self, name)) for name in NAMES}

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


def digest(example: object) -> bytes:
    """Return 16 bytes that are the same for the same content, and for no other in practice.

    Tensors and arrays count with dtype, shape and values, wherever they lie; lists, tuples,
    mappings, sets and dataclasses with what they hold. A list and a tuple of the same are the same,
    `1`, `1.0` and `True` are not.

    Args:
        example: Tensors, arrays, texts, bytes, numbers, `None`, and containers of them.

    Raises:
        DataError: It holds something else.

    Cost:
        Reads everything once; tensors elsewhere are copied to the CPU one by one.
    """
    # a word for the kind, then the parts, each of fixed length: no two contents read alike
    if isinstance(example, Tensor):
        return _hash("tensor", str(example.dtype), str(tuple(example.shape)), _bytes(example))
    if isinstance(example, np.ndarray) and not example.dtype.hasobject:
        array = np.ascontiguousarray(example)
        return _hash("array", array.dtype.str, str(example.shape), array.tobytes())
    if isinstance(example, np.generic) and not example.dtype.hasobject:
        return digest(example.item())
    if example is None or isinstance(example, bool | int | float | complex):
        return _hash(type(example).__name__, repr(example))
    if isinstance(example, str | bytes | bytearray):
        return _hash("str" if isinstance(example, str) else "bytes", example)
    if isinstance(example, Mapping):
        items = sorted((digest(key), digest(value)) for key, value in example.items())
        return _hash("mapping", *itertools.chain(*items))
    if isinstance(example, Set):
        return _hash("set", *sorted(map(digest, example)))
    if is_dataclass(example) and not isinstance(example, type):
        parts = [getattr(example, part.name) for part in fields(example)]
        return _hash("dataclass", type(example).__qualname__, *map(digest, parts))
    if isinstance(example, Sequence):
        return _hash("sequence", *map(digest, example))
    raise DataError(
        "examples must hold tensors, arrays, texts, numbers or containers of them, got "
        f"{type(example).__name__}. Say by `key` what identifies an example."
    )


def _hash(*parts: str | bytes | bytearray) -> bytes:
    whole = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.digest()


def _bytes(tensor: Tensor) -> bytes:
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise DataError(f"tensors of examples must be dense, got {tensor.layout} of {tensor.dtype}")
    plain = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    # NumPy has no bfloat16
    return plain.flatten().view(torch.uint8).numpy().tobytes()


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
