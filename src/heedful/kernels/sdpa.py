"""Torch's own fused kernel, which takes everything; on a GPU it is Flash where that is possible."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from heedful.kernels import composed, hidden
from heedful.kernels.call import Call, bias_as
from heedful.listeners import dual, exported, transformed


def refuses(call: Call) -> str | None:
    """Nothing."""
    return None


def run(call: Call) -> Tensor:
    """Torch's kernel, but plain operations for dual numbers and, on CPU, under transforms.

    Its kernels know no dual numbers, and those for CPUs are called sample by sample by `vmap`.
    """
    plainly = dual() or (transformed() and call.query.is_cpu)
    return hidden.run(composed.run if plainly else _run, call)


def _run(call: Call) -> Tensor:
    """One call of torch's kernel, with a mask only where its causal switch is not enough."""
    query, key, value, mask, bias, scale, dropout = call
    # torch's switch aligns to the first key and accepts no further mask: only where all that is the
    # same thing may it stand in. Of a scale that is not positive it makes NaN on CPU (torch 2.13).
    causal = shared = False
    alone = bias is None and scale > 0
    if mask is not None and alone and mask.is_causal(query.shape[2], key.shape[2]):
        causal = True
    # a comparison alone would be no truth value where sizes are symbols
    if key.shape[1] != query.shape[1]:
        shared = True
    visible = None if causal else call.visible()
    added = visible
    if bias is not None:  # with all axes, for torch takes no mask of one
        added = bias_as(bias, query.dtype)[(None,) * (4 - bias.ndim)]
        added = added if visible is None else added.masked_fill(~visible, float("-inf"))
    output = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=added,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
        enable_gqa=shared,
    )
    seen = composed.sees(visible, bias) if exported() else None
    # other programs that run the graph have their own idea of a row that sees nothing
    return output if seen is None else torch.where(seen.any(-1, keepdim=True), output, 0.0)
