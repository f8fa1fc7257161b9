"""What every kind of mask is: one rule over index tensors, and a value."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from heedful.mask._tensors import same

Align = Literal["end", "start"]


class At(NamedTuple):
    """Where a rule is asked: index tensors that broadcast, and the lengths they run over."""

    batch: Tensor
    head: Tensor
    query: Tensor
    key: Tensor
    queries: int
    keys: int

    def position(self, align: Align) -> Tensor:
        """The key position at which each query stands."""
        return self.query + (self.keys - self.queries if align == "end" else 0)


class Rule(abc.ABC):
    """One kind of mask. Subclasses are final, frozen dataclasses."""

    @abc.abstractmethod
    def visible(self, at: At) -> Tensor:
        """Visible or not, for index tensors that broadcast against each other."""

    def within(self, queries: int, keys: int) -> "Rule":
        """The same rule at these lengths, without the parts that hide nothing there."""
        return self

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        """Raise when a tensor of this rule does not fit."""
        return  # most rules hold no tensor

    def select(self, rows: Tensor) -> "Rule":
        """The rule of the chosen batch rows."""
        return self

    # ---- a value --------------------------------------------------------------------------------

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # pyright: ignore[reportArgumentType]

    def map(self, change: Callable[[Tensor], Tensor]) -> "Rule":
        """A copy with every tensor changed."""
        values = (change(x) if isinstance(x, Tensor) else x for x in self._fields())
        return type(self)(*values)

    def to(self, device: torch.device | str) -> "Rule":
        """The same rule with its tensors on `device`."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device)

        return self.map(move)

    def device(self) -> torch.device:
        """Where the tensors are; the CPU when there are none."""
        tensors = (x for x in self._fields() if isinstance(x, Tensor))
        return next((x.device for x in tensors), torch.device("cpu"))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Rule):
            return NotImplemented
        return all(same(a, b) for a, b in zip(self._fields(), other._fields(), strict=True))

    def __hash__(self) -> int:
        # Tensors count by shape: equal masks hash alike, and hashing never waits for a GPU.
        return hash(
            (type(self), *(x.shape if isinstance(x, Tensor) else x for x in self._fields()))
        )
