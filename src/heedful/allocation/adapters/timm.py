"""Sites of timm: the attention of its Vision Transformers."""

from typing import Any, cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.allocation.adapters.base import Adapter, HookPoints
from heedful.allocation.adapters.heedful import exact, nothing, split, why_uncuttable
from heedful.allocation.adapters.torch import (
    hook_points_of,
    read_core,
    reason_against_core,
    refuses_mixing,
    write_core,
)
from heedful.allocation.mask_and_bias import MaskAndBias, select_heads, split_mask
from heedful.allocation.projections import Projections
from heedful.allocation.separable import Separable
from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.constant import Constant

# one class, which has moved; others of the name compute something else
NAMES = ("timm.layers.attention.Attention", "timm.models.vision_transformer.Attention")
ALSO = ("q_norm", "k_norm", "norm", "gate")  # what some of them do besides: others find their heads


class SeparableTimm(nn.Module):
    """Is called as `Attention` of timm, and computes the same with separate projections.

    A query that sees nothing gives the output bias.

    Args:
        core: What is computed; a constant where no heads are left.
        proj_drop: What the output goes through.
        origin: Which head of the original each head is, for masks that tell heads apart.
        original_heads: How many heads such masks are for.
    """

    def __init__(
        self,
        core: Separable | Constant,
        *,
        proj_drop: nn.Module,
        origin: tuple[int, ...],
        original_heads: int,
    ) -> None:
        super().__init__()
        self.core, self.proj_drop = core, proj_drop
        self.origin, self.original_heads = origin, original_heads
        self.num_heads = len(origin)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        attn_mask: Float[Tensor, "..."] | None = None,
        is_causal: bool = False,
    ) -> Float[Tensor, "batch length width"]:
        """Return the output.

        Args:
            x: What looks at itself.
            attn_mask: True = attend; numbers are added to the scores.
            is_causal: Does nobody see what follows?

        Raises:
            ConfigError: `is_causal` together with `attn_mask`, or the mask holds whole numbers.
            ShapeError: The mask does not fit.
            UnsupportedError: A mechanism is to take numbers to add.
        """
        if isinstance(self.core, Constant):
            return self.proj_drop(self.core(x))
        if is_causal and attn_mask is not None:
            got = tuple(attn_mask.shape)
            raise ConfigError(f"attn_mask must be None with is_causal, got one of shape {got}")
        mask_and_bias = MaskAndBias(Mask.causal() if is_causal else None)
        if attn_mask is not None:
            mask = attn_mask if attn_mask.ndim != 3 else attn_mask[None]
            if mask.ndim == 4:
                mask = select_heads(mask, self.origin, self.original_heads)
            mask_and_bias = split_mask(mask)
        return self.proj_drop(self.core(x, x, x, mask_and_bias)[0])


@final
class TimmAdapter(Adapter):
    """Reads `Attention` of timm, and writes what is called like it. Never imports timm."""

    def claims(self, module: nn.Module) -> bool:
        kind = type(module)
        if f"{kind.__module__}.{kind.__name__}" not in NAMES:
            return isinstance(module, SeparableTimm)
        return all(isinstance(getattr(module, name, None), nn.Identity | None) for name in ALSO)

    def reason_against(self, module: nn.Module) -> str | None:
        if isinstance(module, SeparableTimm):
            return reason_against_core(module.core)
        attention = cast(Any, module)
        reason = why_uncuttable(module, ("qkv", "proj"))
        if reason is not None:
            return reason
        width, out = attention.qkv.in_features, attention.proj.out_features
        return None if width == out else f"it makes vectors of {out} numbers from such of {width}"

    def read(self, module: nn.Module) -> Projections:
        if isinstance(module, SeparableTimm):
            core = module.core
            return nothing(core.vector) if isinstance(core, Constant) else read_core(core)
        attention = cast(Any, module)
        dim = attention.head_dim
        weight, bias = split(attention.qkv, dim)
        query, key, value = weight.chunk(3)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        out_bias = cast(Tensor | None, attention.proj.bias)
        return Projections(
            query=query,
            key=key,
            value=value,
            out=exact(attention.proj.weight).T.unflatten(0, (-1, dim)),
            query_bias=biases[0],
            key_bias=biases[1],
            value_bias=biases[2],
            out_bias=None if out_bias is None else exact(out_bias),
            scale=dim**-0.5,
            origin=tuple(range(attention.num_heads)),
        )

    def why_not(self, module: nn.Module, projections: Projections) -> str | None:
        return refuses_mixing(projections, _dropout(module))

    def write(self, module: nn.Module, projections: Projections) -> nn.Module:
        attention = cast(Any, module)
        origin, original_heads = projections.origin, attention.num_heads
        if isinstance(module, SeparableTimm):
            origin = tuple(module.origin[head] for head in origin)
            original_heads = module.original_heads
            like = cast(Separable, module.core).out.weight
        else:
            like = cast(torch.Tensor, attention.proj.weight)
        core = write_core(projections, _dropout(module))
        core.to(device=like.device, dtype=like.dtype).requires_grad_(like.requires_grad)
        new = SeparableTimm(
            core, proj_drop=attention.proj_drop, origin=origin, original_heads=original_heads
        )
        return new.train(attention.training)

    def hook_points(self, module: nn.Module) -> HookPoints:
        return hook_points_of(cast(Separable, cast(SeparableTimm, module).core))


def _dropout(module: nn.Module) -> float:
    if isinstance(module, SeparableTimm):
        return 0.0 if isinstance(module.core, Constant) else module.core.dropout
    return cast(Any, module).attn_drop.p
