"""The laws of an attention function that stands in for an exact one: subclass, name the promise.

```python
class TestMyLinformer(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=my_linformer,
            exact=oracle.scaled_dot,
            budgets=[4, 8, 16, 32],
            settings=lambda rank, sizes, generator: {"projection": ...},
            full=lambda sizes: sizes.keys,
            masks=["none", "lengths"],
        )
```

`AttentionContract` asks whether a function computes what it says, and compares it with an oracle of
its own. This one asks whether what it says is worth having: exact when paid in full, better the
more is paid, and as cheap as promised.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from heedful.mask import Mask
from heedful.testing.cost import Cost, measure
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.oracle import Array, Result, Sees
from heedful.testing.tolerance import assert_close, roundings

Growth = Literal["linear", "quadratic"]
FACTORS: dict[Growth, int] = {"linear": 2, "quadratic": 4}  # when the length doubles
COIN = 0.05  # what a fair coin does more rarely than this is no noise

SQUARE = Sizes(batch=1, heads=2, kv_heads=2, queries=32, keys=32, dim=4, value_dim=4)

# Other queries than keys in both directions, equal ones, one query, shared key/value heads.
CASES = (
    Sizes(),
    Sizes(queries=7, keys=5),
    Sizes(queries=7, value_dim=3),
    Sizes(queries=1),
    Sizes(kv_heads=2, value_dim=3),
)


@dataclass(frozen=True, kw_only=True)
class Approximation:
    """An attention function that approximates another one, and what it promises.

    Args:
        attention: `attention(query, key, value, *, mask, **settings) -> output`.
        exact: `exact(query, key, value, sees) -> (weights, output)`, in numpy: what is
            approximated. `None`: there is no such thing, only the cost is promised.
        budgets: From small to large, such that more should be better; powers of two, so that
            padding to a multiple of one of them does not blur how the cost grows.
        settings: `settings(budget, sizes, generator)` makes the keyword arguments: numbers, and
            tensors in float64. Tensors of a small budget should be parts of those of a large one.
        full: `full(sizes)` is a budget at which it is exact; or the reason why none is.
        growth: Of the cost with the length, where the budget stays: "linear" or "quadratic".
        smaller: How many times the score matrix holds the largest tensor of a call, at the first
            budget and the longest of `lengths`.
        masks: The kinds of `MASKS` that it honours.
        square: Does it take as many queries as keys only?
        grouped: May several query heads share one key/value head?
        draw: `draw(sizes, generator)` makes query, key and value in float64. `None`: normal.
        residue: `residue(tensors, sees)` bounds what the full budget loses besides rounding, as a
            share of the largest value. `None`: nothing.
        steps: Further sums on the way, by their number of terms, that round.
        sizes: At which errors are compared.
        draws: Over how many seeds.
        lengths: At which costs are compared, each twice the one before.
    """

    attention: Callable[..., Tensor]
    exact: Callable[..., Result] | None
    budgets: Sequence[Any]
    settings: Callable[[Any, Sizes, torch.Generator], Mapping[str, Any]]
    full: Callable[[Sizes], Any] | str
    growth: Growth = "linear"
    smaller: int = 1
    masks: Collection[str] = tuple(MASKS)
    square: bool = False
    grouped: bool = True
    draw: Callable[[Sizes, torch.Generator], Mapping[str, Tensor]] | None = None
    residue: Callable[[Mapping[str, Tensor], Sees], float] | None = None
    steps: tuple[int, ...] = ()
    sizes: Sizes = SQUARE
    draws: int = 8
    lengths: tuple[int, int, int] = (128, 256, 512)

    def fit(self, sizes: Sizes) -> Sizes:
        """The nearest sizes that the function takes."""
        if self.square:
            sizes = replace(sizes, queries=sizes.keys)
        return sizes if self.grouped else replace(sizes, kv_heads=sizes.heads)

    def tensors(self, sizes: Sizes, seed: int) -> dict[str, Tensor]:
        """Query, key and value; the same for the same sizes and seed."""
        generator = torch.Generator().manual_seed(seed)
        if self.draw is not None:
            return dict(self.draw(sizes, generator))
        shapes = {
            "query": (sizes.batch, sizes.heads, sizes.queries, sizes.dim),
            "key": (sizes.batch, sizes.kv_heads, sizes.keys, sizes.dim),
            "value": (sizes.batch, sizes.kv_heads, sizes.keys, sizes.value_dim),
        }
        return {
            name: torch.randn(shape, generator=generator, dtype=torch.float64)
            for name, shape in shapes.items()
        }

    def attend(
        self,
        tensors: Mapping[str, Tensor],
        mask: Mask | None,
        *,
        budget: Any,
        sizes: Sizes,
        seed: int,
    ) -> Tensor:
        """Call the function with the settings of one budget."""
        settings = self.settings(budget, sizes, torch.Generator().manual_seed(seed))
        return self.attention(**tensors, mask=mask, **settings)

    def want(self, tensors: Mapping[str, Tensor], sees: Sees) -> Tensor:
        """What the exact function answers."""
        assert self.exact is not None
        arrays: dict[str, Array] = {name: x.detach().numpy() for name, x in tensors.items()}
        return torch.from_numpy(self.exact(**arrays, sees=sees)[1])

    def limit(self, tensors: Mapping[str, Tensor], sees: Sees, sizes: Sizes) -> int:
        """How many roundings the full budget may be away from the exact function, in float64."""
        limit = roundings(torch.float64, sizes.dim, sizes.keys, sizes.keys, *self.steps)
        lost = 0.0 if self.residue is None else self.residue(tensors, sees)
        return limit + math.ceil(lost / torch.finfo(torch.float64).eps)


class ApproximationContract:
    """Subclass it with a fixture `approximation` that returns an `Approximation`."""

    @pytest.mark.parametrize("kind", MASKS)
    def test_exact_at_full_budget(self, approximation: Approximation, kind: str) -> None:
        full = approximation.full
        if isinstance(full, str):
            pytest.skip(f"no budget is exact: {full}")
        if approximation.exact is None:
            pytest.skip("there is no exact function to compare with")
        if kind not in approximation.masks:
            pytest.skip(f"it does not claim masks of the kind {kind}")
        for sizes in map(approximation.fit, CASES):
            mask, sees = MASKS[kind](sizes)
            tensors = approximation.tensors(sizes, seed=0)
            actual = approximation.attend(tensors, mask, budget=full(sizes), sizes=sizes, seed=0)
            want = approximation.want(tensors, sees)
            limit = approximation.limit(tensors, sees, sizes)
            largest = tensors["value"].abs().max().item()
            try:
                assert_close(actual, want, roundings=limit, largest=largest)
            except AssertionError as error:
                raise AssertionError(f"at {sizes}: {error}") from None

    def test_error_falls_with_budget(self, approximation: Approximation) -> None:
        if approximation.exact is None:
            pytest.skip("there is no exact function to compare with")
        assert len(approximation.budgets) > 1, "budgets must be several, to be compared"
        errors = [_errors(approximation, seed) for seed in range(approximation.draws)]
        means = [sum(column) / len(errors) for column in zip(*errors, strict=True)]
        shown = f"mean relative errors {means} at budgets {list(approximation.budgets)}"
        assert means[-1] < means[0], f"the error must fall, got {shown}"
        falls = sum(row[-1] < row[0] for row in errors)
        assert _no_noise(falls, len(errors)), (
            f"the error must fall in more draws than a coin would, got {falls} of {len(errors)}, "
            f"with {shown}"
        )
        for i in range(1, len(means)):
            rises = sum(row[i] > row[i - 1] for row in errors)
            assert not _no_noise(rises, len(errors)), (
                f"the error must not rise with the budget, got {rises} of {len(errors)} draws from "
                f"{approximation.budgets[i - 1]} to {approximation.budgets[i]}, with {shown}"
            )

    @pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward+backward"])
    def test_cost_grows_as_promised(self, approximation: Approximation, backward: bool) -> None:
        factor = FACTORS[approximation.growth]
        first, *others = approximation.masks
        cases = [(first, budget) for budget in approximation.budgets]
        cases += [(kind, approximation.budgets[-1]) for kind in others]
        for kind, budget in cases:
            short, middle, long = (
                _cost(approximation, kind, budget, length, backward)
                for length in approximation.lengths
            )
            # Differences, because in them whatever does not depend on the length drops out.
            for name in ("flops", "allocated"):
                a, b, c = (getattr(cost, name) for cost in (short, middle, long))
                assert c - b <= factor * (b - a), (
                    f"{name} must grow at most {approximation.growth}, "
                    f"got {a}, {b}, {c} with {kind=} and {budget=}"
                )

    @pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward+backward"])
    def test_largest_tensor_is_as_small_as_promised(
        self, approximation: Approximation, backward: bool
    ) -> None:
        if approximation.growth == "quadratic" and approximation.smaller <= 1:
            pytest.skip("it promises no less than the score matrix")
        length, budget = approximation.lengths[-1], approximation.budgets[0]
        for kind in approximation.masks:
            cost = _cost(approximation, kind, budget, length, backward)
            promised = min(length * length / approximation.smaller, length * length - 1)
            assert cost.largest <= promised, (
                f"the largest tensor must hold at most {promised:.0f} numbers, "
                f"got {cost.largest} with {kind=} and {budget=}"
            )


def _cost(
    approximation: Approximation, kind: str, budget: Any, length: int, backward: bool
) -> Cost:
    """Of one call in one head, so that a table that all heads share cannot hide behind them."""
    sizes = replace(approximation.sizes, batch=1, heads=1, kv_heads=1, queries=length, keys=length)
    tensors = approximation.tensors(sizes, seed=0)
    mask, _ = MASKS[kind](sizes)
    settings = approximation.settings(budget, sizes, torch.Generator().manual_seed(0))
    for x in tensors.values():
        x.requires_grad_(backward)

    def run() -> None:
        output = approximation.attention(**tensors, mask=mask, **settings)
        if backward:
            output.sum().backward()

    return measure(run)


def _errors(approximation: Approximation, seed: int) -> list[float]:
    """The relative error at every budget, of one draw."""
    sizes = approximation.fit(approximation.sizes)
    kind = "none" if "none" in approximation.masks else next(iter(approximation.masks))
    mask, sees = MASKS[kind](sizes)
    tensors = approximation.tensors(sizes, seed)
    want = approximation.want(tensors, sees)
    outputs = (
        approximation.attend(tensors, mask, budget=budget, sizes=sizes, seed=seed)
        for budget in approximation.budgets
    )
    return [((x.double() - want).norm() / want.norm()).item() for x in outputs]


def _no_noise(count: int, draws: int) -> bool:
    """Would a fair coin show heads so often only rarely? (The sign test.)"""
    return sum(math.comb(draws, n) for n in range(count, draws + 1)) < COIN * 2**draws
