"""Mixture of heads: every query chooses some of the heads, and how much it takes of each."""

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn.attention import Attention
from heedful.nn.gated import HeadGates
from heedful.ops._softmax import masked_softmax, widen


@final
class MixtureAttention(HeadGates):
    """Keep `shared` heads always and, of the others, the `chosen` ones a query's router likes best.

    `out([g_1 * head_1; ...; g_h * head_h])`, where the gates `g` come from what looks, `x`:

    * of the shared heads, `2 a_1 * shared * softmax(x W_s)`;
    * of the others, `2 a_2 * chosen * softmax(x W_r)` over those with the `chosen` largest scores,
      and 0 elsewhere;
    * `a = softmax(x W_h)`. With no shared heads, `2 a_2` is 1.

    The factors, as in the authors' code, make equal gates 1: with all heads chosen and a router of
    zeros this is the wrapped attention. It wraps an `Attention`, so grouped heads, positions,
    mechanisms, caches and cross-attention are what they are there.

    Nothing but the loss keeps a router from always choosing the same heads: add a small multiple of
    `balance` to it.

    Args:
        attention: What is gated; its first heads are the shared ones.
        shared: Heads that are always on.
        chosen: Further heads that each query takes.

    Raises:
        ConfigError: `shared` is negative, or `chosen` is not from 1 to the heads that are left.

    Source:
        Jin et al. 2024, arXiv:2410.11842.

    Cost:
        One more projection, of `width x heads`. All heads are computed and the others multiplied by
        0: this learns which heads matter, it does not yet skip any.
    """

    def __init__(self, attention: Attention, *, shared: int, chosen: int) -> None:
        super().__init__(attention)
        routed = attention.heads - shared
        if shared < 0:
            raise ConfigError(f"shared must not be negative, got {shared}")
        if not 1 <= chosen <= routed:
            raise ConfigError(
                "chosen must be at least 1 and at most the heads that are not shared, "
                f"got {chosen=}, {shared=}, heads={attention.heads}"
            )
        self.shared, self.chosen = shared, chosen
        width = attention.query.in_features
        self.router = nn.Linear(width, routed, bias=False)
        # the softmax of one number is 1
        self.share = nn.Linear(width, shared, bias=False) if shared > 1 else None
        self.kind = nn.Linear(width, 2, bias=False) if shared else None

    def gates(
        self, x: Float[Tensor, "batch queries width"]
    ) -> Float[Tensor, "batch heads queries 1"]:
        """Return what each query takes of each head; 0 where it was not chosen."""
        scores = widen(self.router(x))
        taken = scores.masked_fill(~self._choose(scores), float("-inf"))
        gates = self.chosen * _shares(taken)
        if self.kind is not None:
            kinds = 2 * _shares(self.kind(x))
            always = torch.ones_like(kinds[..., :1])
            if self.share is not None:
                always = self.shared * _shares(self.share(x))
            gates = torch.cat([always * kinds[..., :1], gates * kinds[..., 1:]], dim=-1)
        return gates.to(x.dtype).transpose(1, 2)[..., None]

    def balance(
        self,
        x: Float[Tensor, "batch queries width"],
        tokens: Bool[Tensor, "batch queries"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return how unevenly heads are chosen: 1 when equally often, up to `heads / chosen`.

        `heads / chosen * sum_i f_i P_i` over the heads that are not shared, where `f_i` is the
        share of tokens that chose head `i` and `P_i` the mean of `softmax(x W_r)_i`, through which
        the gradient flows; the paper leaves out the factor. It is computed anew from `x`, what
        `forward` was given, and nothing is kept: inside a model, a forward hook has that `x`.

        Args:
            x: What looks.
            tokens: Which positions count; `False` is padding. `None` means: all.
        """
        scores = widen(self.router(x))
        chosen, likely = self._choose(scores).to(scores.dtype), _shares(scores)
        counted = torch.ones_like(scores[..., :1])
        if tokens is not None:
            counted = tokens[..., None].to(scores.dtype)
        count = counted.sum().clamp_min(1)  # a batch of padding chooses nothing
        often = (chosen * counted).sum((0, 1)) / count
        likely = (likely * counted).sum((0, 1)) / count
        return scores.shape[-1] / self.chosen * (often * likely).sum()

    def _choose(
        self, scores: Float[Tensor, "batch queries routed"]
    ) -> Bool[Tensor, "batch queries routed"]:
        best = scores.topk(self.chosen, dim=-1).indices
        return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, best, True)


def _shares(scores: Float[Tensor, "batch queries heads"]) -> Float[Tensor, "batch queries heads"]:
    return masked_softmax(widen(scores)[:, None])[:, 0]
