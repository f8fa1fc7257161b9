"""A recurrence that stands where self-attention looked back."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.nn.cache import KeyValueCache
from heedful.nn.fusion._positions import check_alone, time_and_choice

AGES = (0.25, 16.0)  # the shortest and the longest mean age of what a new state still knows


class GatedRecurrence(nn.Module):
    """Carry a state from position to position, and let each position say what of it to forget.

    With `v = W_v x` and `f = sigmoid(W_f x)`, both with biases: `c_t = f_t * c_(t-1) + (1 - f_t) *
    v_t`, and `out(c_t)`, where the paper has `relu(c_t)`. It is called as `Attention` is, for
    self-attention, and looks back only, whatever the mask says; with a cache, step by step gives
    what one pass gives, and one state is all that is kept. The channels of each head start with
    mean ages from 1/4 to 16 positions, whatever `x` is.

    Args:
        width: Size of the input and of the output vectors.
        heads: Groups of channels, as the heads of the attention that it stands for.
        dim: Channels of a head.

    Raises:
        ConfigError: A size is below 1.
        ShapeError: On use: the mask does not fit; it cannot have heads.
        UnsupportedError: On use: `context` or `gates` are given, or the mask is not causal, a
            choice of keys, or both.

    Source:
        Kim et al. 2019, "From Research to Production and Back", aclanthology.org/D19-5632,
        section 3 (SSRU), which makes the SRU of Lei et al. 2018, arXiv:1709.02755, simpler.

    Cost:
        Three projections, and in a pass `log2(length)` products and sums of all channels at once;
        a step takes one. The cache does not grow.
    """

    def __init__(self, *, width: int, heads: int, dim: int) -> None:
        super().__init__()
        check_sizes(width=width, heads=heads, dim=dim)
        self.heads, self.dim = heads, dim
        self.inner = nn.Linear(width, 2 * heads * dim)
        self.out = nn.Linear(heads * dim, width)
        for linear in (self.inner, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        with torch.no_grad():
            self.inner.weight[heads * dim :] = 0.0
            self.inner.bias[heads * dim :] = first_gates(dim).repeat(heads)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys width"] | None = None,
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
        gates: Float[Tensor, "batch heads queries #value_dim"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Carry the state along.

        Args:
            x: What looks back, and what is looked at.
            context: Must be `None` or `x`.
            mask: Which positions exist. With a cache its keys are all positions so far.
            cache: The positions before those of `x`.
            gates: Must be `None`: nothing is mixed by weights.
        """
        check_alone(x, context, gates, what="the recurrence")
        before = 0 if cache is None else cache.length
        exists = _existing(mask, x, before)
        new, forget = self.inner(x).chunk(2, -1)
        forget = forget.sigmoid()
        if exists is not None:  # what is hidden leaves the state as it is
            forget = forget.masked_fill(~exists, 1.0)
        state = cache.stored()[1][:, 0] if cache is not None and before else None
        if state is not None and x.shape[1] == 1:
            states = torch.lerp(new, state, forget)
        else:
            states = linear_recurrence(new - forget * new, forget, state)
        if cache is not None:
            last = states[:, None, -1:]
            cache.carry(last[..., :0], last, positions=x.shape[1])
        return self.out(states)


def linear_recurrence(
    added: Float[Tensor, "batch length channels"],
    kept: Float[Tensor, "batch length channels"],
    state: Float[Tensor, "batch 1 channels"] | None = None,
) -> Float[Tensor, "batch length channels"]:
    """Return `c_t = kept_t * c_(t-1) + added_t` for all positions, from `state` or 0 on.

    Each round doubles how far back every position has looked, so that no loop goes over positions
    and nothing is divided.

    Source:
        Hillis and Steele 1986, "Data Parallel Algorithms", 10.1145/7902.7903.

    Cost:
        `log2(length)` rounds of three element-wise operations.
    """
    if state is not None:
        first = added[:, :1] + kept[:, :1] * state
        added = torch.cat([first, added[:, 1:]], dim=1)
    reach, length = 1, added.shape[1]
    while reach < length:
        added = added + kept * pad(added, (0, 0, reach, -reach))
        if 2 * reach < length:
            kept = kept * pad(kept, (0, 0, reach, -reach))
        reach *= 2
    return added


def first_gates(dim: int) -> Float[Tensor, " dim"]:
    """Return biases of gates that keep the channels of a head for times that grow evenly.

    A channel that keeps the share `f` has the mean age `f / (1 - f)`, whose logarithm is the bias.
    """
    shortest, longest = torch.tensor(AGES).log()
    return torch.linspace(shortest.item(), longest.item(), dim)


def _existing(mask: Mask | None, x: Tensor, before: int) -> Tensor | None:
    """Which of the new positions exist, `(#batch, new, 1)`; `None`: all."""
    size = (x.shape[0], 1, x.shape[1], before + x.shape[1])
    parts = time_and_choice(mask, size=size, like=x, what="the recurrence")
    return None if parts.keys is None else parts.keys[:, 0, before:, None]
