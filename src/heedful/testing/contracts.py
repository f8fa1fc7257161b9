"""What must hold for every attention function, as a pytest class: subclass it, name the mechanism.

```python
class TestMine(AttentionContract):
    @pytest.fixture
    def mechanism(self):
        return Mechanism(attention=my_attention, oracle=oracle.scaled_dot)
```
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.oracle import Result
from heedful.testing.tolerance import assert_close, roundings

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]

# Other queries than keys, in both directions; equal ones; one query; a batch of one; and, because
# fused kernels ask for it, value_dim == dim.
CASES = {
    "fewer_queries": Sizes(),
    "more_queries": Sizes(queries=7, keys=5),
    "square": Sizes(queries=7, value_dim=3),
    "one_query": Sizes(queries=1),
    "batch_of_one": Sizes(batch=1, value_dim=3),
    "grouped": Sizes(kv_heads=2, value_dim=3),
}


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """An attention function, and what the contract must know to call it.

    Args:
        attention: `attention(query, key, value, *, mask, **extras) -> output`.
        oracle: `oracle(query, key, value, sees, **extras) -> (weights, output)`, in numpy.
        weights: `weights(query, key, *, mask, **extras) -> weights`. `None`: there is none.
        extras: Further tensors: name -> its axes in words, e.g. `"heads dim"`. A word is a field of
            `Sizes`, a key of `sizes`, or a number.
        settings: Further plain arguments, given to all three functions.
        sizes: Sizes of the axes that only this mechanism has.
        key_dim: The axis that is the last one of `key`.
        one_query: Does the function take one query per call only?
        keys_are_a_set: Does a permutation of the keys change nothing?
    """

    attention: Callable[..., Tensor]
    oracle: Callable[..., Result]
    weights: Callable[..., Tensor] | None = None
    extras: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    key_dim: str = "dim"
    one_query: bool = False
    keys_are_a_set: bool = True

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
        return replace(sizes, queries=1) if self.one_query else sizes

    def draw(self, sizes: Sizes, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Random tensors for one call; the same for the same sizes."""
        generator = torch.Generator().manual_seed(1)
        known = {**vars(sizes), **self.sizes}
        return {
            name: torch.randn(
                [int(axis) if axis.isdigit() else known[axis] for axis in axes],
                generator=generator,
                dtype=torch.float64,
            ).to(dtype)
            for name, axes in self.axes().items()
        }

    def attend(self, tensors: Mapping[str, Tensor], mask: Mask | None) -> Tensor:
        """Call the function."""
        return self.attention(**tensors, mask=mask, **self.settings)

    def weigh(self, tensors: Mapping[str, Tensor], mask: Mask | None) -> Tensor:
        """Call the function that returns the weights, or skip the test."""
        if self.weights is None:
            pytest.skip("this mechanism does not return weights")
        others = {name: x for name, x in tensors.items() if name != "value"}
        return self.weights(**others, mask=mask, **self.settings)

    def permute(self, tensors: Mapping[str, Tensor], axis: str, order: Tensor) -> dict[str, Tensor]:
        """The tensors with one of their axes in another order."""
        return {
            name: x.index_select(axes.index(axis), order) if axis in axes else x
            for (name, axes), x in zip(self.axes().items(), tensors.values(), strict=True)
        }

    def limit(self, sizes: Sizes, dtype: torch.dtype) -> int:
        """How often a value is rounded on its way through the mechanism."""
        return roundings(dtype, *self.sizes.values(), sizes.dim, sizes.keys, sizes.keys)


class AttentionContract:
    """Subclass it with a fixture `mechanism` that returns a `Mechanism`."""

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("kind", MASKS)
    @pytest.mark.parametrize("case", CASES)
    def test_matches_oracle(
        self, mechanism: Mechanism, case: str, kind: str, dtype: torch.dtype
    ) -> None:
        sizes = mechanism.fit(CASES[case])
        tensors = mechanism.draw(sizes, dtype)
        mask, sees = MASKS[kind](sizes)
        arrays = {name: x.double().numpy() for name, x in tensors.items()}
        weights, output = (
            torch.from_numpy(x) for x in mechanism.oracle(**arrays, sees=sees, **mechanism.settings)
        )
        limit, largest = mechanism.limit(sizes, dtype), tensors["value"].abs().max().item()

        actual = mechanism.attend(tensors, mask)
        assert actual.dtype == dtype
        assert_close(actual, output, roundings=limit, largest=largest)
        if mechanism.weights is not None:
            actual = mechanism.weigh(tensors, mask)
            assert actual.dtype == dtype
            assert_close(actual, weights, roundings=limit, largest=1.0)

    @pytest.mark.parametrize("kind", ["none", "causal", "both", "dense_shared", "blocks"])
    @pytest.mark.parametrize("value_dim", [3, 2], ids=["value_dim=dim", "value_dim!=dim"])
    def test_gradients(self, mechanism: Mechanism, kind: str, value_dim: int) -> None:
        sizes = mechanism.fit(
            Sizes(heads=2, kv_heads=1, queries=3, keys=4, dim=3, value_dim=value_dim)
        )
        mask, _ = MASKS[kind](sizes)
        tensors = mechanism.draw(sizes)

        def attend(*values: Tensor) -> Tensor:
            return mechanism.attend(dict(zip(tensors, values, strict=True)), mask)

        inputs = [x.requires_grad_() for x in tensors.values()]
        assert torch.autograd.gradcheck(attend, inputs)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("value_dim", [3, 6], ids=["value_dim=dim", "value_dim!=dim"])
    def test_query_that_sees_nothing(
        self, mechanism: Mechanism, dtype: torch.dtype, value_dim: int
    ) -> None:
        sizes = mechanism.fit(Sizes(value_dim=value_dim))
        tensors = mechanism.draw(sizes, dtype)
        for x in tensors.values():
            x.requires_grad_()
        mask, _ = MASKS["empty_text"](sizes)  # row 0 sees nothing, row 1 does
        output = mechanism.attend(tensors, mask)
        assert output[0].abs().max() == 0
        assert output[1].abs().max() > 0
        output.sum().backward()
        for name in ("query", "key", "value"):
            gradient = tensors[name].grad
            assert gradient is not None
            assert gradient[0].abs().max() == 0
            assert gradient.isfinite().all()
        for x in tensors.values():
            assert x.grad is not None
            assert x.grad.isfinite().all()
        if mechanism.weights is not None:
            assert mechanism.weigh(tensors, mask)[0].abs().max() == 0

    @pytest.mark.parametrize("kind", ["lengths", "causal", "window", "both", "dense_shared"])
    def test_hidden_keys_cannot_matter(self, mechanism: Mechanism, kind: str) -> None:
        sizes = mechanism.fit(Sizes())
        mask, sees = MASKS[kind](sizes)
        tensors = mechanism.draw(sizes)
        before = mechanism.attend(tensors, mask)
        for i in range(sizes.queries):
            hidden = [
                [not any(sees(b, h, i, j) for h in range(sizes.heads)) for j in range(sizes.keys)]
                for b in range(sizes.batch)
            ]
            where = torch.tensor(hidden)[:, None, :, None]
            changed = dict(tensors)
            changed["key"] = tensors["key"].masked_fill(where, 100.0)
            changed["value"] = tensors["value"].masked_fill(where, -1e6)
            assert torch.equal(mechanism.attend(changed, mask)[:, :, i], before[:, :, i])

    @pytest.mark.parametrize("kind", MASKS)
    def test_weights_sum_to_one_or_zero(self, mechanism: Mechanism, kind: str) -> None:
        sizes = mechanism.fit(Sizes())
        mask, sees = MASKS[kind](sizes)
        weights = mechanism.weigh(mechanism.draw(sizes), mask)
        assert (weights >= 0).all()
        some = torch.zeros(sizes.batch, sizes.heads, sizes.queries, dtype=torch.float64)
        for b in range(sizes.batch):
            for h in range(sizes.heads):
                for i in range(sizes.queries):
                    some[b, h, i] = any(sees(b, h, i, j) for j in range(sizes.keys))
                    for j in range(sizes.keys):
                        assert sees(b, h, i, j) or weights[b, h, i, j] == 0
        limit = mechanism.limit(sizes, torch.float64)
        assert_close(weights.sum(-1), some, roundings=limit, largest=1.0)

    @pytest.mark.parametrize("kind", MASKS)
    def test_weights_times_value_is_the_output(self, mechanism: Mechanism, kind: str) -> None:
        sizes = mechanism.fit(Sizes())
        mask, _ = MASKS[kind](sizes)
        tensors = mechanism.draw(sizes)
        product = mechanism.weigh(tensors, mask) @ tensors["value"]
        self._close(mechanism, sizes, mechanism.attend(tensors, mask), product, tensors)

    @pytest.mark.parametrize("kind", MASKS)
    def test_grouped_heads_equal_repeated_heads(self, mechanism: Mechanism, kind: str) -> None:
        sizes = mechanism.fit(Sizes(kv_heads=2))
        mask, _ = MASKS[kind](sizes)
        grouped = mechanism.draw(sizes)
        repeated = dict(grouped)
        for name in ("key", "value"):
            repeated[name] = grouped[name][:, [0, 0, 1, 1]]
        actual, want = mechanism.attend(grouped, mask), mechanism.attend(repeated, mask)
        self._close(mechanism, sizes, actual, want, grouped)

    @pytest.mark.parametrize("kind", MASKS)
    def test_batch_rows_do_not_meet(self, mechanism: Mechanism, kind: str) -> None:
        sizes = mechanism.fit(Sizes())
        mask, _ = MASKS[kind](sizes)
        tensors = mechanism.draw(sizes)
        order = torch.tensor([1, 0, 1])
        chosen = mechanism.permute(tensors, "batch", order)
        actual = mechanism.attend(chosen, None if mask is None else mask.select(order))
        want = mechanism.attend(tensors, mask)[order]
        self._close(mechanism, sizes, actual, want, tensors)

    @pytest.mark.parametrize("kind", MASKS)
    def test_order_of_keys_does_not_matter(self, mechanism: Mechanism, kind: str) -> None:
        if not mechanism.keys_are_a_set:
            pytest.skip("this mechanism looks at the neighbours of a key")
        sizes = mechanism.fit(Sizes())
        mask, sees = MASKS[kind](sizes)
        tensors = mechanism.draw(sizes)
        order = [3, 0, 6, 1, 5, 2, 4]
        table = [
            [
                [[sees(b, h, i, j) for j in order] for i in range(sizes.queries)]
                for h in range(sizes.heads)
            ]
            for b in range(sizes.batch)
        ]
        permuted = mechanism.permute(tensors, "keys", torch.tensor(order))
        actual = mechanism.attend(permuted, Mask.dense(torch.tensor(table)))
        self._close(mechanism, sizes, actual, mechanism.attend(tensors, mask), tensors)

    @pytest.mark.parametrize("kind", ["none", "causal", "both"])
    def test_memory_layout_does_not_matter(self, mechanism: Mechanism, kind: str) -> None:
        sizes = mechanism.fit(Sizes(kv_heads=2, value_dim=3))
        mask, _ = MASKS[kind](sizes)
        tensors = mechanism.draw(sizes)
        strided = {name: _strided(x) for name, x in tensors.items()}
        assert not strided["key"].is_contiguous()
        actual, want = mechanism.attend(strided, mask), mechanism.attend(tensors, mask)
        self._close(mechanism, sizes, actual, want, tensors)

    def _close(
        self,
        mechanism: Mechanism,
        sizes: Sizes,
        actual: Tensor,
        want: Tensor,
        tensors: Mapping[str, Tensor],
    ) -> None:
        limit = mechanism.limit(sizes, actual.dtype)
        largest = tensors["value"].abs().max().item()
        assert_close(actual, want, roundings=2 * limit, largest=largest)


def _strided(x: Tensor) -> Tensor:
    """Equal values in another layout, with gaps."""
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), float("nan"))
    wide = wide.transpose(0, 1).contiguous().transpose(0, 1)
    view = wide[..., ::2]
    view.copy_(x)
    return view
