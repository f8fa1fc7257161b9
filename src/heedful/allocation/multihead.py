"""What stands in for `torch.nn.MultiheadAttention`: its heads can be changed one by one."""

from types import SimpleNamespace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.allocation.mask_and_bias import MaskAndBias, select_heads, split_mask
from heedful.allocation.separable import Separable
from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.nn.constant import Constant


class SeparableMultihead(nn.Module):
    """Is called as `torch.nn.MultiheadAttention`, and computes the same with separate projections.

    Fused layers of torch find no fused projection here and leave their fast path; the nested
    tensors that their encoder makes of padding come through. Two things differ on purpose. A query
    that sees nothing gives the output bias, where torch gives NaN. And finite numbers in a mask are
    added to the scores, while torch's fused layer hides such keys.

    Args:
        core: What is computed; a constant where no heads are left.
        width: Size of queries and of the output.
        batch_first: Does the batch come before the length?
        origin: Which head of the original each head is, for masks that tell heads apart.
        original_heads: How many heads such masks are for.
    """

    def __init__(
        self,
        core: Separable | Constant,
        *,
        width: int,
        batch_first: bool,
        origin: tuple[int, ...],
        original_heads: int,
    ) -> None:
        super().__init__()
        self.core = core
        self.embed_dim, self.batch_first = width, batch_first
        self.origin, self.original_heads = origin, original_heads
        self.num_heads = len(origin)
        self.dropout = 0.0 if isinstance(core, Constant) else core.dropout
        # what torch's layers ask for before they take their fast path, and the answer that is no
        self._qkv_same_embed_dim = False
        self.bias_k = self.bias_v = None
        self.add_zero_attn = False

    @property
    def in_proj_weight(self) -> Tensor:
        """Some parameter: torch's encoder asks whether it needs a gradient."""
        return cast(Tensor, self.out_proj.weight)

    @property
    def in_proj_bias(self) -> Tensor:
        """As `in_proj_weight`."""
        return cast(Tensor, self.out_proj.bias)

    @property
    def out_proj(self) -> Any:
        """The output projection, or what has a weight and a bias as it does."""
        if isinstance(self.core, Constant):
            return SimpleNamespace(weight=self.core.vector, bias=self.core.vector)
        return self.core.out

    def forward(
        self,
        query: Float[Tensor, "..."],
        key: Float[Tensor, "..."],
        value: Float[Tensor, "..."],
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Float[Tensor, "..."], Tensor | None]:
        """Return the output and, where asked for and there are heads, the weights.

        Args:
            query: What looks, in the layout of `torch.nn.MultiheadAttention`, and so are the rest.
            key: What is looked at.
            value: What is returned.
            key_padding_mask: True = hide; numbers are added to the scores.
            need_weights: Return the weights too?
            attn_mask: As `key_padding_mask`, for pairs.
            average_attn_weights: Give the mean over heads?
            is_causal: A promise that `attn_mask` is causal, which saves looking at it.

        Raises:
            ShapeError: A tensor or a mask has a shape that torch would not take either.
            ConfigError: `is_causal` without `attn_mask`, or a mask holds whole numbers.
            UnsupportedError: Nested queries, keys and values are not one, or come with a mask or
                with the wish for weights; or a mechanism is to take numbers to add.
        """
        if query.is_nested:
            masked = key_padding_mask is not None or attn_mask is not None
            if key is not query or value is not query or masked or need_weights:
                raise UnsupportedError(
                    "nested queries must look at themselves without mask or weights, "
                    "got other keys, a mask or need_weights"
                )
            return _nested(self.core, query), None
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            got = ", ".join(str(tuple(x.shape)) for x in (query, key, value))
            raise ShapeError(f"query, key and value must all be 2-D or all be 3-D, got {got}")
        if isinstance(self.core, Constant):
            return self.core(query), None
        batched = query.ndim == 3
        if not batched:
            query, key, value = query[None], key[None], value[None]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        mask_and_bias = self._mask_and_bias(attn_mask, key_padding_mask, query.shape[0], is_causal)
        output, weights = self.core(query, key, value, mask_and_bias, need_weights=need_weights)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.transpose(0, 1), weights

    def _mask_and_bias(
        self, pairs: Tensor | None, padding: Tensor | None, batch: int, causal: bool
    ) -> MaskAndBias:
        mask_and_bias = MaskAndBias()
        if causal and pairs is None:
            raise ConfigError("attn_mask must be given with is_causal, got None")
        if causal:
            mask_and_bias = MaskAndBias(Mask.causal(align="start"))
        elif pairs is not None:
            mask_and_bias = split_mask(_attending(self._each_head(pairs, batch)))
        if padding is not None:
            if padding.ndim != 2 or padding.shape[0] != batch:
                raise ShapeError(
                    f"key_padding_mask must have one row for each of {batch} texts, "
                    f"got a tensor of shape {tuple(padding.shape)}"
                )
            mask_and_bias &= split_mask(_attending(padding[:, None, None]))
        return mask_and_bias

    def _each_head(self, mask: Tensor, batch: int) -> Tensor:
        if mask.ndim == 2:
            return mask
        heads = {self.original_heads, self.num_heads}
        # compared one by one: a batch that is a symbol has no hash
        if mask.ndim != 3 or all(mask.shape[0] != batch * count for count in heads):
            raise ShapeError(
                f"attn_mask must be 2-D, or 3-D with {self.original_heads} rows for each of "
                f"{batch} texts, got a tensor of shape {tuple(mask.shape)}"
            )
        each = mask.unflatten(0, (batch, -1))
        return select_heads(each, self.origin, self.original_heads)


def _attending(mask: Tensor) -> Tensor:
    """Torch's True = hide as True = attend; numbers stay."""
    return ~mask if mask.dtype == torch.bool else mask


def _nested(core: Separable | Constant, x: Tensor) -> Tensor:
    """Let every text of a nested tensor look at itself; padding is not even projected."""
    texts = list(x.unbind())
    if isinstance(core, Constant):
        return torch.nested.as_nested_tensor([core(text) for text in texts])
    sizes = [len(text) for text in texts]
    lengths = torch.tensor(sizes, device=x.device)
    present = torch.arange(max(sizes), device=x.device) < lengths[:, None]

    def padded(rows: Tensor) -> Tensor:
        room = rows.new_zeros(*present.shape, rows.shape[1])
        return room.masked_scatter(present[:, :, None], rows)

    flat, mask_and_bias = torch.cat(texts), MaskAndBias(Mask.lengths(lengths))
    query, key, value = (padded(part(flat)) for part in (core.query, core.key, core.value))
    mixed, _ = core.mix(query, key, value, mask_and_bias)
    return torch.nested.as_nested_tensor(list(core.out(mixed[present]).split(sizes)))
