"""What decoding asks of a model that reads one text and writes another."""

import abc
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


class State(abc.ABC):
    """All that a model must remember between two steps, one row a text being written."""

    @abc.abstractmethod
    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""


@runtime_checkable
class Seq2Seq(Protocol):
    """A model that decoding, training and explanation can use."""

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text that it can read or write; `None` means any length."""
        ...

    def __call__(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries target_size"]:
        """Return the logits of the token after each target token."""
        ...

    def start(self, source: Int[Tensor, "batch keys"], lengths: Int[Tensor, " batch"]) -> Any:
        """Read the source and return the `State` before the first step."""
        ...

    def step(self, tokens: Int[Tensor, " batch"], state: Any) -> Float[Tensor, "batch target_size"]:
        """Return the logits of the next token and advance `state`."""
        ...
