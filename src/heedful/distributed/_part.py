"""Attention to some of the keys, and its gradient as a share of attention to more of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from heedful.kernels.call import Call
from heedful.kernels.composed import wide
from heedful.kernels.cpu import kernel, native
from heedful.mask import Mask, Pattern
from heedful.ops.blockwise import blockwise_partial


class Part(NamedTuple):
    """Some queries and some keys of a text.

    Args:
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        mask: Of these queries and keys.
        scale: Factor of the dot product.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Mask
    scale: float

    def pattern(self) -> Pattern | None:
        """The mask taken apart; `None`: no query sees any key."""
        (batch, heads, queries, _), keys = self.query.shape, self.key.shape[2]
        if not queries or not keys:
            return None
        found = self.mask.pattern(queries, keys, batch=batch, heads=heads)
        return None if found.hides_all(queries, keys) else found

    def forward(self) -> tuple[Tensor, Tensor] | None:
        """The output, and the logarithm of the sum of every row's exponentials; `None`: blind."""
        pattern = self.pattern()
        if pattern is None:
            return None
        if not self._is_native():
            return self._blockwise()
        tensors = self.query, self.key, self.value
        output, log_sum, _ = native.forward(*tensors, None, pattern, self.scale, log_sum=True)
        assert log_sum is not None  # noqa: S101  # asked for one line above
        return output, log_sum

    def backward(
        self, by_output: Tensor, output: Tensor, log_sum: Tensor
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """The gradients of query, key and value; `None`: blind.

        Args:
            by_output: The gradient of the output over all keys.
            output: That output.
            log_sum: Its logarithm of the sums over all keys.
        """
        pattern = self.pattern()
        if pattern is None:
            return None
        if not self._is_native():
            return self._blockwise_backward(by_output, output, log_sum)
        inputs = self.query, self.key, self.value, None
        return native.backward((by_output, None), inputs, pattern, self.scale, (output, log_sum))[
            :3
        ]

    def _is_native(self) -> bool:
        call = Call(self.query, self.key, self.value, self.mask, None, self.scale, 0.0)
        return kernel.refuses(call) is None

    def _blockwise(self) -> tuple[Tensor, Tensor]:
        tensors = self.query, self.key, self.value
        return blockwise_partial(*tensors, mask=self.mask, scale=self.scale)

    def _blockwise_backward(
        self, by_output: Tensor, output: Tensor, log_sum: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`output = sum_p w_p o_p` with `w_p = exp(log_sum_p - log_sum)`, differentiated."""
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in (self.query, self.key, self.value)]
            own, own_log_sum = self._replace(
                query=leaves[0], key=leaves[1], value=leaves[2]
            )._blockwise()
        away = (own_log_sum - log_sum).detach()
        share = away.exp().masked_fill(own_log_sum.isneginf(), 0.0)[..., None]
        by_own = share * by_output.to(wide(by_output.dtype))
        by_log_sum = (by_own * (own.detach() - output)).sum(-1)
        query, key, value = torch.autograd.grad((own, own_log_sum), leaves, (by_own, by_log_sum))
        return query, key, value
