"""What an attention function claims to be: all that the contract must know to hold it to that."""

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.oracle import Result
from heedful.testing.tolerance import roundings


class NotClaimed(Exception):
    """A rule asks for something that the claim leaves out, with the reason."""


class Refused(Exception):
    """The function said that it cannot answer such a call; its error is the cause."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attention function, and what it claims to be.

    Args:
        attention: `attention(query, key, value, *, mask, **extras) -> output`.
        oracle: `oracle(query, key, value, sees, **extras) -> (weights, output)`, in numpy.
        weights: `weights(query, key, *, mask, **extras) -> weights`. `None`: there is none.
        extras: Further tensors: name -> its axes in words, e.g. `"heads dim"`. A word is a field of
            `Sizes`, a key of `sizes`, or a number.
        domains: Where an extra may not be any number: name -> from any number to an allowed one.
        settings: Further plain arguments, given to all three functions.
        sizes: Sizes of the axes that only this mechanism has.
        masks: The kinds of `MASKS` that it honours; it must refuse the others.
        key_dim: The axis that is the last one of `key`.
        one_query: Does the function take one query per call only?
        square: Does it take as many queries as keys only?
        same_dims: Must `value_dim` be `dim`?
        even: Must `dim` be even?
        grouped: May several query heads share one key/value head?
        normalised: Do the weights of a row sum to one?
        positive: Is no weight below zero?
        exact_gradients: Is the gradient the derivative of the output? Not with a straight-through
            estimator.
        twice_differentiable: Can it be differentiated twice?
        permutation_invariant: Does a permutation of the keys change nothing?
        independent_queries: Does a query's answer not depend on the other queries?
        decodes: Is one query at a time, with the keys so far, one causal pass?
        independent_heads: Does a head's answer not depend on the other heads?
        steps: Further sums on the way, by their number of terms, that round.
        inferred: Was the claim made from a signature, or by others? Then a refusal breaks nothing.
    """

    attention: Callable[..., Tensor]
    oracle: Callable[..., Result]
    weights: Callable[..., Tensor] | None = None
    extras: Mapping[str, str] = field(default_factory=dict[str, str])
    domains: Mapping[str, Callable[[Tensor], Tensor]] = field(
        default_factory=dict[str, Callable[[Tensor], Tensor]]
    )
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    masks: Collection[str] = tuple(MASKS)
    key_dim: str = "dim"
    one_query: bool = False
    square: bool = False
    same_dims: bool = False
    even: bool = False
    grouped: bool = True
    normalised: bool = True
    positive: bool = True
    exact_gradients: bool = True
    twice_differentiable: bool = True
    permutation_invariant: bool = True
    independent_queries: bool = True
    decodes: bool = True
    independent_heads: bool = True
    steps: tuple[int, ...] = ()
    inferred: bool = False

    def axes(self) -> dict[str, list[str]]:
        """The axes of every tensor of a call, by name."""
        words = {
            "query": "batch heads queries dim",
            "key": f"batch kv_heads keys {self.key_dim}",
            "value": "batch kv_heads keys value_dim",
            **self.extras,
        }
        return {name: axes.split() for name, axes in words.items()}

    def fit(self, sizes: Sizes) -> Sizes:
        """The nearest sizes that the function takes."""
        if self.one_query:
            sizes = replace(sizes, queries=1)
        if self.square:
            sizes = replace(sizes, queries=sizes.keys)
        if self.even:
            sizes = replace(sizes, dim=sizes.dim + sizes.dim % 2)
        if self.same_dims:
            sizes = replace(sizes, value_dim=sizes.dim)
        return sizes if self.grouped else replace(sizes, kv_heads=sizes.heads)

    def draw(self, sizes: Sizes, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Random tensors for one call; the same for the same sizes, up to rounding."""
        generator = torch.Generator().manual_seed(1)
        known = {**vars(sizes), **self.sizes}
        tensors: dict[str, Tensor] = {}
        for name, axes in self.axes().items():
            shape = [int(axis) if axis.isdigit() else known[axis] for axis in axes]
            drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
            drawn = self.domains[name](drawn) if name in self.domains else drawn
            tensors[name] = drawn.to(dtype)
        return tensors

    def attend(self, tensors: Mapping[str, Tensor], mask: Mask | None) -> Tensor:
        """Call the function.

        Raises:
            Refused: It said that it cannot.
            AssertionError: It raised any other error.
        """
        return _answer(self.attention, tensors, mask, self.settings)

    def weigh(self, tensors: Mapping[str, Tensor], mask: Mask | None) -> Tensor:
        """Call the function that returns the weights.

        Raises:
            NotClaimed: There is none.
            Refused: It said that it cannot.
            AssertionError: It raised any other error.
        """
        if self.weights is None:
            raise NotClaimed("it does not return weights")
        others = {name: x for name, x in tensors.items() if name != "value"}
        return _answer(self.weights, others, mask, self.settings)

    def permute(self, tensors: Mapping[str, Tensor], axis: str, order: Tensor) -> dict[str, Tensor]:
        """The tensors with one of their axes in another order."""
        return {
            name: x.index_select(axes.index(axis), order) if axis in axes else x
            for (name, axes), x in zip(self.axes().items(), tensors.values(), strict=True)
        }

    def limit(self, sizes: Sizes, dtype: torch.dtype) -> int:
        """How often a value is rounded on its way through the mechanism."""
        terms = (*self.sizes.values(), *self.steps, sizes.dim, sizes.keys, sizes.keys)
        return roundings(dtype, *terms)


def _answer(
    function: Callable[..., Tensor],
    tensors: Mapping[str, Tensor],
    mask: Mask | None,
    settings: Mapping[str, Any],
) -> Tensor:
    with answering():
        return function(**tensors, mask=mask, **settings)


@contextmanager
def answering() -> Generator[None]:
    """Tell a refusal from a failure.

    `UnsupportedError` and `NotImplementedError` are refusals, as is what torch says of kernels and
    derivatives that it lacks, a `RuntimeError` with "not implemented" in its text. Any other error
    means that the function takes the call and breaks.

    Raises:
        Refused: The function said that it cannot.
        AssertionError: It raised any other error.
    """
    try:
        yield
    except (AssertionError, NotClaimed, Refused):
        raise
    except Exception as error:
        lacking = isinstance(error, RuntimeError) and "not implemented" in str(error)
        if lacking or isinstance(error, UnsupportedError | NotImplementedError):
            raise Refused(words(error)) from error
        raise AssertionError(f"it raised {words(error)}") from error


def words(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
