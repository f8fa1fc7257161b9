"""A mechanism of `heedful.ops` with its parameters, as `heedful.nn.Attention` uses it."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.cache import KeyValueCache


class Mechanism(nn.Module, abc.ABC):
    """How the heads of one attention module mix positions.

    Every subclass is final and is made by keywords: `heads` and `dim`, whether it needs them or
    not, and settings of its own, each with a default. So one table can build them all.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
    """

    @abc.abstractmethod
    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__()
        self.heads, self.dim = heads, dim

    def extra_repr(self) -> str:
        """What `print` shows of it."""
        return f"heads={self.heads}, dim={self.dim}"

    @abc.abstractmethod
    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Return `finish` of the weighted sum of `value`; 0 where nothing is visible."""

    def narrow(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        mask: Mask | None,
        cache: KeyValueCache,
    ) -> Mask | None:
        """Return the mask to mix by where all keys come from a cache, which may hide more.

        Args:
            query: What looks.
            mask: Who may see whom.
            cache: What is looked at, `query`'s own positions included.
        """
        return mask

    def finish(
        self, mixed: Float[Tensor, "batch heads queries value_dim"]
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Return what `forward` makes of the weighted sum: most mechanisms leave it as it is."""
        return mixed

    @abc.abstractmethod
    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Return the weights that `forward` sums by, for looking at them."""


class OpMechanism(Mechanism):
    """A mechanism that is one op: a subclass names it and says what it gets beside its tensors.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
    """

    _attention: ClassVar[Callable[..., Tensor]]
    _weights: ClassVar[Callable[..., Tensor]]

    def __init_subclass__(
        cls, *, attention: Callable[..., Tensor], weights: Callable[..., Tensor], **more: Any
    ) -> None:
        super().__init_subclass__(**more)
        cls._attention, cls._weights = staticmethod(attention), staticmethod(weights)

    def arguments(self) -> dict[str, Any]:
        """Return what the op gets beside queries, keys, values and the mask."""
        return {}

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return self._attention(query, key, value, **self.arguments(), mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return self._weights(query, key, **self.arguments(), mask=mask)
