"""What a model remembers between two steps as named tensors, and back."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.mask import Mask, Pattern
from heedful.nn.cache import KeyValueCache
from heedful.selection.pages import Pages

Number = int | torch.SymInt
MANY = 1 << 40  # keys: more than any lengths, so that none of them can be left out


class JoinedCache(KeyValueCache):
    """A cache that makes new tensors of what it holds and what is appended: nothing in place.

    Args:
        key: What it holds; `None` for nothing.
        value: As many.
        length: Positions so far, which may be more than a recurrence keeps. `None` means all held.
    """

    def __init__(
        self, key: Tensor | None = None, value: Tensor | None = None, length: Number | None = None
    ) -> None:
        super().__init__()
        self._key, self._value = key, value
        if key is not None:
            self.length = cast(int, key.shape[2] if length is None else length)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return all positions."""
        if self._key is not None and self._value is not None:
            key, value = torch.cat([self._key, key], 2), torch.cat([self._value, value], 2)
        self._key, self._value, self.length = key, value, key.shape[2]
        return key, value

    def stored(self) -> tuple[Tensor, Tensor]:
        """Return what it holds, the same tensors each time."""
        if self._key is None or self._value is None:
            return super().stored()
        return self._key, self._value

    def pages(self, page: int = 16) -> Pages:
        """Refuse: pages are kept aside of what is stored.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError("a graph must keep whole caches, got one that is read in pages")


def joined(state: Any) -> Any:
    """Return a copy of a fresh state whose caches make new tensors.

    Raises:
        UnsupportedError: A cache is not empty, or the state holds what no graph can.
    """

    def change(_: str, leaf: Any) -> Any:
        if not isinstance(leaf, KeyValueCache):
            return leaf
        if leaf.length:
            raise UnsupportedError("a state must start with empty caches, got a filled one")
        return JoinedCache()

    return _changed(state, change)


def tensors_of(state: Any, batch: int) -> dict[str, Tensor]:
    """Return every tensor of a state by its path, in order.

    Args:
        state: Of so many rows.
        batch: So many.

    Raises:
        UnsupportedError: It holds what is no tensor.
    """
    found: dict[str, Tensor] = {}
    for path, leaf in _leaves(state, ""):
        if isinstance(leaf, Tensor):
            found[path] = leaf
        elif isinstance(leaf, Mask):
            lengths = _lengths(leaf, batch)
            found |= {} if lengths is None else {path: lengths}
        elif isinstance(leaf, KeyValueCache) and leaf.length:
            key, value = leaf.stored()
            found |= {f"{path}_key": key, f"{path}_value": value}
    return found


def filled(
    state: Any, batch: int, tensors: Mapping[str, Tensor], counts: Mapping[str, Number]
) -> Any:
    """Return a copy of a state that holds other tensors, and counts by other numbers.

    Args:
        state: Of `batch` rows.
        batch: As many.
        tensors: By the paths of `tensors_of`.
        counts: Those of `counts_of` that change.
    """

    def change(path: str, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return tensors[path]
        if isinstance(leaf, Mask):
            return leaf if _lengths(leaf, batch) is None else Mask.lengths(tensors[path])
        if isinstance(leaf, KeyValueCache) and leaf.length:
            return JoinedCache(tensors[f"{path}_key"], tensors[f"{path}_value"], counts.get(path))
        return counts.get(path, leaf) if type(leaf) is int else leaf

    return _changed(state, change)


def counts_of(state: Any) -> dict[str, int]:
    """Return every number that a state counts by, with the lengths of its caches."""
    counts: dict[str, int] = {}
    for path, leaf in _leaves(state, ""):
        if type(leaf) is int:
            counts[path] = leaf
        elif isinstance(leaf, KeyValueCache) and leaf.length:
            counts[path] = leaf.length
    return counts


def masks_of(state: Any) -> set[str]:
    """Return the paths of masks."""
    return {path for path, leaf in _leaves(state, "") if isinstance(leaf, Mask)}


def _lengths(mask: Mask, batch: int) -> Tensor | None:
    """The lengths that a mask knows; `None` where it hides nothing."""
    pattern = mask.pattern(1, MANY, batch=batch, heads=1)
    if pattern._replace(lengths=None) != Pattern():
        raise UnsupportedError(f"a state must know lengths alone, got {mask!r:.80}")
    return pattern.lengths


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if _is_leaf(value):
        yield path, value
        return
    for name, part in _parts(value):
        yield from _leaves(part, f"{path}_{name}" if path else name)


def _changed(value: Any, change: Callable[[str, Any], Any], path: str = "") -> Any:
    if _is_leaf(value):
        return change(path, value)
    parts = {
        name: _changed(part, change, f"{path}_{name}" if path else name)
        for name, part in _parts(value)
    }
    if isinstance(value, list | tuple):
        return type(cast(Any, value))(parts.values())
    new = copy.copy(value)
    for name, part in parts.items():
        setattr(new, name, part)
    return new


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, list | tuple):
        return [(str(number), part) for number, part in enumerate(cast(list[Any], value))]
    return list(vars(value).items())


def _is_leaf(value: Any) -> bool:
    kinds = (Tensor, Mask, KeyValueCache, int, float, str, torch.SymInt)
    plain = value is None or isinstance(value, kinds)
    if not plain and not isinstance(value, list | tuple) and not hasattr(value, "__dict__"):
        raise UnsupportedError(f"a state must hold tensors, got a {type(value).__name__}")
    return plain
