"""What must hold for every attention function, as a pytest class: subclass it, name the claim.

```python
class TestMine(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(attention=my_attention, oracle=oracle.scaled_dot)
```
"""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from heedful.mask import Mask
from heedful.testing.claim import Claim
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close

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


class AttentionContract:
    """Subclass it with a fixture `claim` that returns a `Claim`."""

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("kind", MASKS)
    @pytest.mark.parametrize("case", CASES)
    def test_matches_oracle(self, claim: Claim, case: str, kind: str, dtype: torch.dtype) -> None:
        sizes = claim.fit(CASES[case])
        tensors = claim.draw(sizes, dtype)
        mask, sees = MASKS[kind](sizes)
        arrays = {name: x.double().numpy() for name, x in tensors.items()}
        weights, output = (
            torch.from_numpy(x) for x in claim.oracle(**arrays, sees=sees, **claim.settings)
        )
        limit, largest = claim.limit(sizes, dtype), tensors["value"].abs().max().item()

        actual = claim.attend(tensors, mask)
        assert actual.dtype == dtype
        assert_close(actual, output, roundings=limit, largest=largest)
        if claim.weights is not None:
            actual = claim.weigh(tensors, mask)
            assert actual.dtype == dtype
            assert_close(actual, weights, roundings=limit, largest=1.0)

    @pytest.mark.parametrize("kind", ["none", "causal", "both", "dense_shared", "blocks"])
    @pytest.mark.parametrize("value_dim", [3, 2], ids=["value_dim=dim", "value_dim!=dim"])
    def test_gradients(self, claim: Claim, kind: str, value_dim: int) -> None:
        sizes = claim.fit(Sizes(heads=2, kv_heads=1, queries=3, keys=4, dim=3, value_dim=value_dim))
        mask, _ = MASKS[kind](sizes)
        tensors = claim.draw(sizes)

        def attend(*values: Tensor) -> Tensor:
            return claim.attend(dict(zip(tensors, values, strict=True)), mask)

        inputs = [x.requires_grad_() for x in tensors.values()]
        assert torch.autograd.gradcheck(attend, inputs)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("value_dim", [3, 6], ids=["value_dim=dim", "value_dim!=dim"])
    def test_query_that_sees_nothing(
        self, claim: Claim, dtype: torch.dtype, value_dim: int
    ) -> None:
        sizes = claim.fit(Sizes(value_dim=value_dim))
        tensors = claim.draw(sizes, dtype)
        for x in tensors.values():
            x.requires_grad_()
        mask, _ = MASKS["empty_text"](sizes)  # row 0 sees nothing, row 1 does
        output = claim.attend(tensors, mask)
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
        if claim.weights is not None:
            assert claim.weigh(tensors, mask)[0].abs().max() == 0

    @pytest.mark.parametrize("kind", ["lengths", "causal", "window", "both", "dense_shared"])
    def test_hidden_keys_cannot_matter(self, claim: Claim, kind: str) -> None:
        sizes = claim.fit(Sizes())
        mask, sees = MASKS[kind](sizes)
        tensors = claim.draw(sizes)
        before = claim.attend(tensors, mask)
        for i in range(sizes.queries):
            hidden = [
                [not any(sees(b, h, i, j) for h in range(sizes.heads)) for j in range(sizes.keys)]
                for b in range(sizes.batch)
            ]
            where = torch.tensor(hidden)[:, None, :, None]
            changed = dict(tensors)
            changed["key"] = tensors["key"].masked_fill(where, 100.0)
            changed["value"] = tensors["value"].masked_fill(where, -1e6)
            assert torch.equal(claim.attend(changed, mask)[:, :, i], before[:, :, i])

    @pytest.mark.parametrize("kind", MASKS)
    def test_weights_sum_to_one_or_zero(self, claim: Claim, kind: str) -> None:
        sizes = claim.fit(Sizes())
        mask, sees = MASKS[kind](sizes)
        weights = claim.weigh(claim.draw(sizes), mask)
        assert (weights >= 0).all()
        some = torch.zeros(sizes.batch, sizes.heads, sizes.queries, dtype=torch.float64)
        for b in range(sizes.batch):
            for h in range(sizes.heads):
                for i in range(sizes.queries):
                    some[b, h, i] = any(sees(b, h, i, j) for j in range(sizes.keys))
                    for j in range(sizes.keys):
                        assert sees(b, h, i, j) or weights[b, h, i, j] == 0
        limit = claim.limit(sizes, torch.float64)
        assert_close(weights.sum(-1), some, roundings=limit, largest=1.0)

    @pytest.mark.parametrize("kind", MASKS)
    def test_weights_times_value_is_the_output(self, claim: Claim, kind: str) -> None:
        sizes = claim.fit(Sizes())
        mask, _ = MASKS[kind](sizes)
        tensors = claim.draw(sizes)
        product = claim.weigh(tensors, mask) @ tensors["value"]
        self._close(claim, sizes, claim.attend(tensors, mask), product, tensors)

    @pytest.mark.parametrize("kind", MASKS)
    def test_grouped_heads_equal_repeated_heads(self, claim: Claim, kind: str) -> None:
        sizes = claim.fit(Sizes(kv_heads=2))
        mask, _ = MASKS[kind](sizes)
        grouped = claim.draw(sizes)
        repeated = dict(grouped)
        for name in ("key", "value"):
            repeated[name] = grouped[name][:, [0, 0, 1, 1]]
        actual, want = claim.attend(grouped, mask), claim.attend(repeated, mask)
        self._close(claim, sizes, actual, want, grouped)

    @pytest.mark.parametrize("kind", MASKS)
    def test_batch_rows_do_not_meet(self, claim: Claim, kind: str) -> None:
        sizes = claim.fit(Sizes())
        mask, _ = MASKS[kind](sizes)
        tensors = claim.draw(sizes)
        order = torch.tensor([1, 0, 1])
        chosen = claim.permute(tensors, "batch", order)
        actual = claim.attend(chosen, None if mask is None else mask.select(order))
        want = claim.attend(tensors, mask)[order]
        self._close(claim, sizes, actual, want, tensors)

    @pytest.mark.parametrize("kind", MASKS)
    def test_order_of_keys_does_not_matter(self, claim: Claim, kind: str) -> None:
        if not claim.keys_are_a_set:
            pytest.skip("this mechanism looks at the neighbours of a key")
        sizes = claim.fit(Sizes())
        mask, sees = MASKS[kind](sizes)
        tensors = claim.draw(sizes)
        order = [3, 0, 6, 1, 5, 2, 4]
        table = [
            [
                [[sees(b, h, i, j) for j in order] for i in range(sizes.queries)]
                for h in range(sizes.heads)
            ]
            for b in range(sizes.batch)
        ]
        permuted = claim.permute(tensors, "keys", torch.tensor(order))
        actual = claim.attend(permuted, Mask.dense(torch.tensor(table)))
        self._close(claim, sizes, actual, claim.attend(tensors, mask), tensors)

    @pytest.mark.parametrize("kind", ["none", "causal", "both"])
    def test_memory_layout_does_not_matter(self, claim: Claim, kind: str) -> None:
        sizes = claim.fit(Sizes(kv_heads=2, value_dim=3))
        mask, _ = MASKS[kind](sizes)
        tensors = claim.draw(sizes)
        strided = {name: _strided(x) for name, x in tensors.items()}
        assert not strided["key"].is_contiguous()
        actual, want = claim.attend(strided, mask), claim.attend(tensors, mask)
        self._close(claim, sizes, actual, want, tensors)

    def _close(
        self,
        claim: Claim,
        sizes: Sizes,
        actual: Tensor,
        want: Tensor,
        tensors: Mapping[str, Tensor],
    ) -> None:
        limit = claim.limit(sizes, actual.dtype)
        largest = tensors["value"].abs().max().item()
        assert_close(actual, want, roundings=2 * limit, largest=largest)


def _strided(x: Tensor) -> Tensor:
    """Equal values in another layout, with gaps."""
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), float("nan"))
    wide = wide.transpose(0, 1).contiguous().transpose(0, 1)
    view = wide[..., ::2]
    view.copy_(x)
    return view
