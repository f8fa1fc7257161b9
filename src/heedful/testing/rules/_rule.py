"""What a rule is: a promise, the cases in which it is looked at, and the check."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.mask import Mask
from heedful.testing.claim import Claim, NotClaimed, answering
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.oracle import Sees
from heedful.testing.tolerance import assert_close

Case = Mapping[str, Any]

# Other queries than keys, in both directions; equal ones; one query; a batch of one; and, because
# fused kernels ask for it, value_dim == dim.
SIZES = {
    "fewer_queries": Sizes(),
    "more_queries": Sizes(queries=7, keys=5),
    "square": Sizes(queries=7, value_dim=3),
    "one_query": Sizes(queries=1),
    "batch_of_one": Sizes(batch=1, value_dim=3),
    "grouped": Sizes(kv_heads=2, value_dim=3),
}


@dataclass(frozen=True)
class Rule:
    """One thing that every attention function must do.

    Args:
        promise: What holds, in one line.
        check: `check(claim, **case)`; raises `AssertionError` where it does not hold, `NotClaimed`
            where the claim leaves it out, and `Refused` where the function said that it cannot.
        cases: Where it is looked at.
    """

    promise: str
    check: Callable[..., None]
    cases: tuple[Case, ...]


def grid(**axes: Collection[Any]) -> tuple[Case, ...]:
    """Every combination of the given values."""
    return tuple(
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    )


def in_turn(
    *, sizes: Collection[str], kind: Collection[str], dtype: Sequence[torch.dtype]
) -> tuple[Case, ...]:
    """Every size with every kind of mask, and the dtypes in turn: each meets each size and kind."""
    return tuple(
        {"sizes": size, "kind": name, "dtype": dtype[(row + column) % len(dtype)]}
        for row, size in enumerate(sizes)
        for column, name in enumerate(kind)
    )


def describe(case: Case) -> str:
    """A case in words, e.g. `kind=causal dtype=float32`."""
    return " ".join(f"{name}={str(x).removeprefix('torch.')}" for name, x in case.items())


def masked(claim: Claim, kind: str, sizes: Sizes) -> tuple[Mask | None, Sees]:
    """One mask and its meaning.

    Raises:
        NotClaimed: The claim does not take this kind.
    """
    if kind not in claim.masks:
        raise NotClaimed(f"it does not take masks of the kind {kind}")
    return MASKS[kind](sizes)


def table(sees: Sees, sizes: Sizes) -> Tensor:
    """Who sees whom, `(batch, heads, queries, keys)`."""
    rows = [
        [
            [[sees(b, h, i, j) for j in range(sizes.keys)] for i in range(sizes.queries)]
            for h in range(sizes.heads)
        ]
        for b in range(sizes.batch)
    ]
    return torch.tensor(rows)


def assert_same(
    claim: Claim, sizes: Sizes, actual: Tensor, want: Tensor, *, largest: float
) -> None:
    """Assert that two computations of the function agree up to rounding."""
    limit = 2 * claim.limit(sizes, actual.dtype)  # both sides are rounded
    largest = max(largest, want.abs().max().item())
    assert_close(actual, want, roundings=limit, largest=largest)


def size_of(tensor: Tensor) -> float:
    """The largest number in a tensor."""
    return tensor.abs().max().item()


def backward(output: Tensor) -> None:
    """Differentiate the sum of the output.

    Raises:
        Refused: It said that it has no gradient.
        AssertionError: It raised any other error.
    """
    with answering():
        output.sum().backward()
