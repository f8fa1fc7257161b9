"""What one attention site computes, in one form, however its library stores it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from heedful.nn.low_precision import Precision


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Which pairs of components are turned, of heads that were `whole` wide when they were made."""

    pairs: tuple[int, ...]
    whole: int
    base: float = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How heads mix positions, where that is not scaled dot-product attention over all keys.

    What mixes positions without looking has a name as well: "gated_recurrence" and
    "local_convolution" stand for the modules of `heedful.nn.fusion`, the latter without heads.

    Args:
        name: Of `heedful.nn.MECHANISMS`, or one of these.
        settings: Its keywords besides `heads` and `dim`.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        window = self.settings.get("window")
        return self.name if window is None else f"{self.name} {window}"


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The numbers that decide what a site costs.

    Args:
        width: Of the vectors that look.
        context: Of the vectors that are looked at.
        out: Of what comes out.
        heads: Query heads; 0 where the site was dropped.
        kv_heads: Key/value heads.
        dim: Size of a query or key head.
        value_dim: Size of a value head.
        mixing: As in `Projections`.
        precision: As in `Projections`.
    """

    width: int
    context: int
    out: int
    heads: int
    kv_heads: int
    dim: int
    value_dim: int
    mixing: Mixing | None = None
    precision: Precision | None = None

    @property
    def gates(self) -> int:
        """Components of a head that have a gate of their own."""
        recurrent = self.mixing is not None and self.mixing.name == "gated_recurrence"
        return self.value_dim if recurrent else 0

    @property
    def looking(self) -> int:
        """Products that each query takes in projections, which is how many weights these have."""
        return self.heads * (self.width * (self.dim + self.gates) + self.value_dim * self.out)

    @property
    def looked_at(self) -> int:
        """The same for each vector that is looked at."""
        return self.kv_heads * self.context * (self.dim + self.value_dim)

    def __str__(self) -> str:
        if not self.heads:
            return "dropped" if self.mixing is None else str(self.mixing)
        looks = self.dim not in (0, self.value_dim)
        size = f"{self.dim}/{self.value_dim}" if looks else f"{self.value_dim}"
        shared = "" if self.kv_heads == self.heads else f" on {self.kv_heads}"
        mixing = "" if self.mixing is None else f", {self.mixing}"
        precision = "" if self.precision is None else f", {self.precision}"
        return f"{self.heads}{shared} x {size}{mixing}{precision}"


@dataclass(frozen=True, kw_only=True)
class Projections:
    """The four projections of a site, head by head, and what else decides about its output.

    A head gives `softmax(scale * (W_q x + b_q) . (W_k c + b_k)) (W_v c + b_v)`, and the site the
    sum over heads of `W_o` times that, plus `out_bias`. Neighbouring query heads share a key/value
    head where there are fewer of these. Without heads the site gives `out_bias` for every query, or
    starts from there where `mixing` names what stands in their place.

    Args:
        query: A matrix for each head.
        key: One for each key/value head.
        value: One for each key/value head.
        out: One for each head; transposed, so that all four have the head's size in the middle.
        query_bias: A vector for each head. `None` means no biases, here and below.
        key_bias: One for each key/value head.
        value_bias: One for each key/value head.
        out_bias: One vector.
        scale: Factor of the scores.
        gate: A matrix for each head where `mixing` is a recurrence: what it forgets, component by
            component; queries and keys then have no components.
        gate_bias: A vector for each head.
        origin: Which head of the original site each head is.
        rotary: Which components are turned by the position; `None` means that none are.
        normed: Are queries and keys normalised, head by head, behind their projections? Then they
            cannot be written in another basis, and their means count.
        activated: Does a function stand between what heads mix and the output projection, number by
            number? Then values cannot be written in another basis.
        mixing: `None` means scaled dot-product attention over all keys that the mask shows.
        precision: In what the projections multiply; `None` means the dtype of the model.
    """

    query: Float[Tensor, "heads dim width"]
    key: Float[Tensor, "kv_heads dim context"]
    value: Float[Tensor, "kv_heads value_dim context"]
    out: Float[Tensor, "heads value_dim out"]
    query_bias: Float[Tensor, "heads dim"] | None = None
    key_bias: Float[Tensor, "kv_heads dim"] | None = None
    value_bias: Float[Tensor, "kv_heads value_dim"] | None = None
    out_bias: Float[Tensor, " out"] | None = None
    gate: Float[Tensor, "heads value_dim width"] | None = None
    gate_bias: Float[Tensor, "heads value_dim"] | None = None
    scale: float
    origin: tuple[int, ...]
    rotary: Rotary | None = None
    normed: bool = False
    activated: bool = False
    mixing: Mixing | None = None
    precision: Precision | None = None

    @property
    def geometry(self) -> Geometry:
        """The numbers that decide what this costs."""
        heads, dim, width = self.query.shape
        kv_heads, value_dim, context = self.value.shape
        return Geometry(
            width=width,
            context=context,
            out=self.out.shape[2],
            heads=heads,
            kv_heads=kv_heads,
            dim=dim,
            value_dim=value_dim,
            mixing=self.mixing,
            precision=self.precision,
        )

    @property
    def groups(self) -> int:
        """How many query heads share one key/value head."""
        return len(self.query) // max(1, len(self.key))

    def with_(self, **changes: Any) -> "Projections":
        """Return a copy in which some fields are others."""
        return replace(self, **changes)
