"""Give every model of Hugging Face transformers heedful's attention, by the name "heedful"."""

import math
import weakref
from typing import Any, cast

import torch
from torch import Tensor

from heedful.errors import MissingExtraError, ShapeError, UnsupportedError
from heedful.kernels.attend import attend
from heedful.mask import Mask

NAME = "heedful"
ALLOCATED = "heedful_allocated"  # for single modules, whose model keeps the name that it has
# arguments that change what attention means and that no kernel here knows
FOREIGN = {
    "softcap": "scores that are capped",
    "s_aux": "sinks that are learned",
    "cache": "a paged cache",
}


def register() -> None:
    """Make "heedful" a name of attention and of its masks; a second time changes nothing.

    ```python
    register()
    model = AutoModel.from_pretrained(name, attn_implementation="heedful")
    ```

    Raises:
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import sdpa_mask
    except ImportError:
        raise MissingExtraError(
            "transformers must be installed, got none: pip install 'heedful[hf]'"
        ) from None
    # Without a mask function of the same name a model gives no mask at all, and says nothing.
    AttentionMaskInterface.register(NAME, sdpa_mask)
    AttentionInterface.register(NAME, attention)


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> tuple[Tensor, None]:
    """What an attention module of transformers calls.

    A row that sees nothing gives 0, as with sdpa; with `position_bias` too, where sdpa gives the
    mean of all values, hidden ones included.

    Args:
        module: Says by `is_causal` what it means that there is no mask.
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        attention_mask: 4-D: truth values, True = attend, or numbers to be added to the scores.
        scaling: Factor of the dot product.
        dropout: Share of the weights that is set to 0.
        settings: `is_causal` stands before that of the module, `position_bias` is added to the
            scores. Others that change nothing here, such as `position_ids`, are not looked at.

    Returns:
        The answer, `(batch, queries, heads, value_dim)`, and no weights.

    Raises:
        UnsupportedError: The module asks for what is not to be had, such as weights.
        ShapeError: The mask is not 4-D, or the tensors do not fit together.
    """
    _refuse(settings)
    if attention_mask is not None and attention_mask.ndim != 4:
        raise ShapeError(f"attention_mask must be 4-D, got shape {tuple(attention_mask.shape)}")
    bias, mask = settings.get("position_bias"), None
    if len(query) != len(key):  # learned queries, the same for all
        query = query.expand(len(key), -1, -1, -1)
    if attention_mask is None:
        if query.shape[2] > 1 and _is_causal(module, settings):
            mask, key, value, bias = _first(query.shape[2], key, value, bias)
    elif attention_mask.dtype == torch.bool:
        mask = _mask(attention_mask)
    else:
        bias = attention_mask if bias is None else bias + attention_mask
    output = attend(query, key, value, mask=mask, bias=bias, scale=scaling, dropout=dropout)
    return output.transpose(1, 2).contiguous(), None


def register_allocated() -> None:
    """Make "heedful_allocated" a name of attention, for modules that carry a mechanism.

    Their models must make masks for "sdpa", "heedful" or what else gives truth values.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    register()
    from transformers import AttentionInterface

    AttentionInterface.register(ALLOCATED, allocated)


def allocated(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> tuple[Tensor, None]:
    """What a module calls whose positions its `heedful_mechanism` mixes; otherwise as `attention`.

    Raises:
        UnsupportedError: The mask holds numbers, weights are to be dropped, there are biases, or
            the cache has empty room behind the last query, so that nobody knows where it stands.
    """
    _refuse(settings)
    if settings.get("position_bias") is not None:
        raise UnsupportedError("position_bias must be None, got a tensor; no mechanism adds it")
    if dropout:
        raise UnsupportedError(f"dropout must be 0, got {dropout}; no mechanism drops weights")
    mask, causal, dim = None, _is_causal(module, settings), query.shape[3]
    if attention_mask is None:
        if query.shape[2] > 1 and causal:
            mask, key, value, _ = _first(query.shape[2], key, value, None)
    elif attention_mask.dtype != torch.bool:
        raise UnsupportedError(
            f"attention_mask must hold truth values, got {attention_mask.dtype}; "
            "attn_implementation='sdpa' makes such masks"
        )
    else:
        beside = query.shape[2] < key.shape[2] and causal
        if beside and not bool(attention_mask[..., -1, -1].any()):
            raise UnsupportedError(
                "the last query must see the last key, got a cache with empty room behind it; "
                "one that grows has none"
            )
        mask = _mask(attention_mask)
    factor = 1.0 if scaling is None else scaling * dim**0.5  # mechanisms divide by that root
    query = query if math.isclose(factor, 1.0) else query * factor
    output = cast(Any, module).heedful_mechanism(query, key, value, mask=mask)
    return output.transpose(1, 2).contiguous(), None


def _refuse(settings: dict[str, Any]) -> None:
    for name, what in FOREIGN.items():
        if settings.get(name) is not None:
            raise UnsupportedError(
                f"{name} must be None, got {what}; attn_implementation='eager' knows them"
            )
    if settings.get("output_attentions"):
        raise UnsupportedError(
            "output_attentions must be off, got True: no kernel stores weights. "
            "heedful.probe shows them, and attn_implementation='eager' returns them."
        )


def _is_causal(module: torch.nn.Module, settings: dict[str, Any]) -> bool:
    """What it means that there is no mask: the same `None` stands for "causal" and for "all"."""
    causal = settings.get("is_causal")
    return bool(getattr(module, "is_causal", True) if causal is None else causal)


def _first(
    queries: int, key: Tensor, value: Tensor, bias: Tensor | None
) -> tuple[Mask, Tensor, Tensor, Tensor | None]:
    """Causal without a mask: the text begins here, and what a cache holds behind it is empty."""
    cut = None if bias is None else bias[..., :queries]
    return _CAUSAL, key[:, :, :queries], value[:, :, :queries], cut


def _mask(tensor: Tensor) -> Mask:
    """The mask of a tensor; all layers of a model give the same tensor, and get the same mask."""
    # what inference mode makes counts no changes, so nobody could tell whether it is still the same
    if torch.compiler.is_compiling() or tensor.is_inference():
        return Mask.dense(tensor)
    kept = _last[0] if _last else None
    if kept is None or kept[0]() is not tensor or kept[1] != tensor._version:
        kept = (weakref.ref(tensor), tensor._version, Mask.dense(tensor))
        _last[:] = [kept]
    return kept[2]


_CAUSAL = Mask.causal()
_last: list[tuple[weakref.ref[Tensor], int, Mask]] = []
