"""What attention modules of transformers give beside queries, keys and values."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from heedful.errors import ShapeError, UnsupportedError
from heedful.mask import Mask

HONOURED = frozenset(("is_causal", "position_bias", "indices", "s_aux", "sinks"))
# arguments that change what attention means and that no kernel here knows
FOREIGN = {
    "softcap": "scores that are capped",
    "cache": "a paged cache",
    "block_indices": "blocks that were selected",
}
# arguments that eager attention passes over too
HARMLESS = frozenset(
    (
        # positions and limits of texts: they are in the queries, the keys and the mask already
        *("position_ids", "cache_position", "sliding_window", "seq_idx"),
        *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"),
        # how torch's or another kernel is to compute the same
        "deterministic",
        # what the model or the tokenizer says to somebody else, and hands through to all
        *("output_hidden_states", "output_router_logits", "output_attentions", "return_dict"),
        *("use_cache", "num_items_in_batch", "logits_to_keep", "labels"),
        *("token_type_ids", "mm_token_type_ids", "special_tokens_mask", "length"),
    )
)


def refuse(settings: Mapping[str, Any], known: frozenset[str] = HONOURED) -> None:
    """Raise unless every argument is understood, or known to change nothing.

    Raises:
        UnsupportedError: Names the argument.
    """
    for name, value in settings.items():
        if value is None or name in known or (name in HARMLESS and name != "output_attentions"):
            continue
        if name == "output_attentions":
            if value:
                raise UnsupportedError(
                    "output_attentions must be off, got True: no kernel stores weights. "
                    "heedful.probe shows them, and attn_implementation='eager' returns them."
                )
            continue
        what = FOREIGN.get(name)
        if what is None:
            kind = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
            what = f"{kind or type(value).__name__}, which no kernel here understands"
        raise UnsupportedError(
            f"{name} must be None, got {what}; attn_implementation='eager' knows its meaning"
        )


def selected(indices: Tensor, keys: int) -> Tensor:
    """Truth values of the keys `(batch, queries, chosen)` that each query is left with.

    Raises:
        ShapeError: The numbers are not 3-D.
    """
    if indices.ndim != 3:
        raise ShapeError(f"indices must be 3-D, got shape {tuple(indices.shape)}")
    seen = torch.zeros(*indices.shape[:2], keys, dtype=torch.bool, device=indices.device)
    return seen.scatter(-1, indices.long(), True).unsqueeze(1)


def sinks_of(settings: Mapping[str, Any]) -> Tensor | None:
    """The score of nothing, `(#batch, heads, #queries, 1)`, by whichever name it comes.

    Raises:
        ShapeError: It has another form.
    """
    given = {name: settings[name] for name in ("s_aux", "sinks") if settings.get(name) is not None}
    for name, sinks in given.items():
        if sinks.ndim == 1:
            return sinks.view(1, -1, 1, 1)
        if sinks.ndim == 4 and sinks.shape[3] == 1:
            return sinks
        raise ShapeError(f"{name} must be (heads,) or 4-D with one column, got {(*sinks.shape,)}")
    return None


def with_sinks(
    sinks: Tensor,
    sizes: torch.Size,
    mask: Mask | None,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
) -> tuple[Mask | None, Tensor, Tensor, Tensor]:
    """Put a key before all others whose score is `sinks` and whose value is 0; all see it.

    Args:
        sinks: `(#batch, heads, #queries, 1)`.
        sizes: The shape of the queries.
        mask: Who may see whom.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        bias: What is added to the scores.

    Returns:
        Mask, keys, values and bias with one key more; the bias holds the sinks.
    """
    batch, heads, queries, _ = sizes
    keys, causal = key.shape[2], Mask.causal()
    key, value = (pad(x, (0, 0, 1, 0)) for x in (key, value))
    if mask is not None and mask != causal:  # the last query stands at the last key as before
        seen = mask.to_bool(queries, keys, batch=batch, heads=heads, device=key.device)
        mask = None if seen is None else Mask.dense(pad(seen, (1, 0), value=True))
    if bias is None:
        bias = sinks.new_zeros(1, 1, 1, 1).expand(-1, -1, -1, keys)
    rows = torch.broadcast_shapes(sinks.shape[:3], bias.shape[:3])
    column, rest = sinks.to(bias.dtype).expand(*rows, 1), bias.expand(*rows, keys)
    return mask, key, value, torch.cat((column, rest), -1)
