"""What an example holds, as 16 bytes that are the same for the same content only."""

import itertools
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from heedful.errors import DataError


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
