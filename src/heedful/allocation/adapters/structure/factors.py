"""Two factors of a product of many matrices, in one form, however the product is written."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

PRODUCTS = ("matmul", "__matmul__", "bmm", "baddbmm", "einsum")


@dataclass(frozen=True, eq=False)
class Factors:
    """A product `left @ right.mT`.

    Args:
        left: `(..., rows, inner)`.
        right: `(..., columns, inner)`.
        order: Which axis of `(..., rows, columns)` each axis of the result is.
        scale: A factor of the product.
    """

    left: Tensor
    right: Tensor
    order: tuple[int, ...]
    scale: float = 1.0

    def plain(self, result: Tensor) -> Tensor:
        """Return the result as `(..., rows, columns)`."""
        return result.permute(*map(self.order.index, range(len(self.order))))

    def raw(self, plain: Tensor) -> Tensor:
        """Return `(..., rows, columns)` as the product gives its result."""
        return plain.permute(*self.order)

    def turned(self) -> "Factors":
        """Return the same product with its factors the other way round."""
        rows, columns = len(self.order) - 2, len(self.order) - 1
        other = {rows: columns, columns: rows}
        order = tuple(other.get(axis, axis) for axis in self.order)
        return replace(self, left=self.right, right=self.left, order=order)


def factors_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Factors | None:
    """Return the factors of a call; `None` where it is no product of as many matrices each.

    Args:
        name: Of the function of torch.
        args: What it is given.
        kwargs: What it is given by name.
    """
    if name not in PRODUCTS:
        return None
    if name == "einsum":
        operands = args[1] if isinstance(args[1], tuple | list) else args[1:]
        return _of_letters(args[0], *operands) if len(operands) == 2 else None
    one, other = _added_to(args, kwargs) if name == "baddbmm" else args[:2]
    if one.ndim != other.ndim or one.ndim not in (3, 4, 5):
        return None
    return Factors(one, other.mT, tuple(range(one.ndim)), float(kwargs.get("alpha", 1)))


def _added_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The factors of a product that is added to something, however they are given."""
    one, other = (
        kwargs[name] if name in kwargs else args[place]
        for place, name in ((1, "batch1"), (2, "batch2"))
    )
    return one, other


def _of_letters(equation: str, one: Tensor, other: Tensor) -> Factors | None:
    """The factors of an einsum of two tensors; time may come first, and heads anywhere."""
    inputs, _, out = equation.replace(" ", "").partition("->")
    first, _, second = inputs.partition(",")
    if [len(first), len(second)] != [one.ndim, other.ndim] or "." in equation:
        return None
    many = [x for x in first if x in second and x in out]
    inner = [x for x in first if x in second and x not in out]
    rows = [x for x in first if x not in second]
    columns = [x for x in second if x not in first]
    if [len(inner), len(rows), len(columns)] != [1, 1, 1] or not 1 <= len(many) <= 3:
        return None
    plain = [*many, *rows, *columns]
    if sorted(out) != sorted(plain):
        return None
    return Factors(
        left=one.permute(*map(first.index, [*many, *rows, *inner])),
        right=other.permute(*map(second.index, [*many, *columns, *inner])),
        order=tuple(map(plain.index, out)),
    )
