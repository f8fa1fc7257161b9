"""What stands in a model of transformers where its own attention module cannot: two modules."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

# by what names modules of transformers, timm and torchvision take the vectors that look around
LOOKING = ("hidden_states", "query", "queries", "query_tensor", "latents", "x", "input")
# and the cache, of which transformers 5.24 changed the name once more
CACHES = ("cache", "past_key_values", "layer_past", "layer_state")

Beside = tuple[None, ...] | list[None]  # what stands behind an output


class Dropped(nn.Module):
    """Return one vector wherever an attention module of transformers would have looked around.

    It takes what those take, and gives what most of them give: an output, and no weights. In a
    cache it leaves one number a position, since models ask a layer of it how long the text is.

    Args:
        width: Size of the vector.
        layer: Which layer of a cache is that of the site.
        after: A dropout that the site ended with.
        beside: What it gives behind the vector, in a tuple or a list; `None`: the vector alone.
    """

    heedful_reason = "it was dropped, and gives one vector for every position"

    def __init__(
        self,
        width: int,
        layer: int | None = None,
        after: nn.Module | None = None,
        beside: Beside | None = (None,),
    ):
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))
        self.layer = layer
        self.after = nn.Identity() if after is None else after
        self.beside = beside

    def forward(
        self,
        *rest: Any,
        key_value_states: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        **given: Any,
    ) -> Any:
        """Return the vector for every position."""
        looking = rest[0] if rest else next(given[name] for name in LOOKING if name in given)
        other = encoder_hidden_states if key_value_states is None else key_value_states
        count(cache_of(given, rest), self.layer, looking, other)
        output = self.after(everywhere(self.vector, looking))
        return output if self.beside is None else type(self.beside)((output, *self.beside))


class BiasedHeads(nn.Module):
    """Some heads of a T5 attention, or none: the bias of all heads goes by, they take their part.

    The first layer of T5 makes the bias of the scores for every layer that follows; so its table
    keeps all heads, whatever heads the layer itself has left.

    Args:
        inner: The attention, with fewer heads; without projections where a vector stands for them.
        heads: Which heads of the original are left.
        vector: What is given instead, where no heads are left.
    """

    heads: Tensor

    def __init__(self, inner: nn.Module, heads: Tensor, vector: nn.Parameter | None = None):
        super().__init__()
        self.inner: Any = inner
        self.register_buffer("heads", heads)
        self.vector = vector

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        key_value_states: Tensor | None = None,
        position_bias: Tensor | None = None,
        **given: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the output, the bias of all heads, and the weights if there are any."""
        if position_bias is None and self.inner.has_relative_attention_bias:
            position_bias = self._bias(hidden_states, cache_of(given))
        if self.vector is not None:
            count(cache_of(given), self.inner.layer_idx, hidden_states, key_value_states)
            return everywhere(self.vector, hidden_states), position_bias, None
        output, _, weights = self.inner(
            hidden_states,
            mask=mask,
            key_value_states=key_value_states,
            position_bias=None if position_bias is None else position_bias[:, self.heads],
            **given,
        )
        return output, position_bias, weights

    def _bias(self, hidden_states: Tensor, cache: Any) -> Tensor:
        queries = hidden_states.shape[1]
        past, keys = 0, queries
        if cache is not None:
            past = cache.get_seq_length(self.inner.layer_idx)
            keys = cache.get_mask_sizes(queries, self.inner.layer_idx)[0]
        return cast(
            Tensor,
            self.inner.compute_bias(
                queries, keys, device=hidden_states.device, past_seen_tokens=past
            ),
        )


def everywhere(vector: Tensor, x: Tensor) -> Tensor:
    """Return the vector once for every position of `x`."""
    return vector.to(x.dtype).expand(*x.shape[:-1], -1)


def cache_of(given: Mapping[str, Any], rest: tuple[Any, ...] = ()) -> Any:
    """Return the cache that a module is called with, by whatever name; `None` without one."""
    found = (given.get(name) for name in CACHES)
    return next((x for x in (*found, *rest) if hasattr(x, "update") and x is not None), None)


def count(cache: Any, layer: int | None, x: Tensor, other: Tensor | None) -> None:
    """Let a layer of a cache know how long a text is, by keys and values of one number.

    Args:
        cache: Of one text or of two; `None` where nothing is kept. One in pages, which knows how
            long the texts are by itself, is left alone.
        layer: Which layer of it.
        x: The positions that came.
        other: Those of the other text, where that would have been looked at.
    """
    if not hasattr(cache, "get_seq_length"):
        return
    if other is None:
        cache = getattr(cache, "self_attention_cache", cache)
    else:
        if not hasattr(cache, "cross_attention_cache") or cache.is_updated.get(layer):
            return
        cache.is_updated[layer] = True
        cache, x = cache.cross_attention_cache, other
    nothing = x.new_zeros(x.shape[0], 1, x.shape[1], 1)  # of no number at all, they count as none
    cache.update(nothing, nothing, layer)


def present(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Tensor | None, Tensor | None]:
    """Return which queries and which keys of a call are no padding, as `Adapter.present` does."""
    given = (kwargs.get("attention_mask"), kwargs.get("mask"), *args[1:2])
    mask = next((x for x in given if isinstance(x, Tensor) and x.ndim == 4), None)
    if mask is None or mask.shape[2] not in (1, mask.shape[3]):
        return None, None
    visible = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    keys = visible.any(2).any(1)  # what nobody sees is padding
    others = ("key_value_states", "encoder_hidden_states")
    crossing = any(kwargs.get(name) is not None for name in others)
    return (None, None) if crossing else (keys, keys)
