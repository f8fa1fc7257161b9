"""Mega: a moving average of the neighbours under one head of gated attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn._settings import check_dropout, check_sizes
from heedful.nn.cache import KeyValueCache
from heedful.nn.fusion._positions import existing
from heedful.nn.positions import AlibiPositions, RelativePositions, RotaryPositions
from heedful.ops._shapes import check_axes
from heedful.ops._softmax import widen
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights

CHUNK = 64  # positions whose pairs are looked at together; between chunks only a state is kept


class GatedEmaCache:
    """What a `GatedEma` keeps of the positions so far: the state of its average, keys and values.

    It is for writing, not for training, as `KeyValueCache` is.
    """

    def __init__(self) -> None:
        self.average: Tensor | None = None
        self.keys = KeyValueCache()

    def select(self, rows: Tensor) -> None:
        """Keep these batch rows, in this order; a row may be taken more than once."""
        self.keys.select(rows)
        if self.average is not None:
            self.average = self.average.index_select(0, rows)


class GatedEma(nn.Module):
    """Let one head look at moving averages, and let gates decide what becomes of each position.

    With `m = ema(x)` and `z = silu(W_z m)`: `q = kappa_q * z + mu_q`, `k = kappa_k * z + mu_k`,
    `v = silu(W_v x)`, `o = attention(q, k, v)`, the reset gate `r = silu(W_r m)`, the update gate
    `u = sigmoid(W_u m)`, the candidate `c = silu(W_c m + U (r * o))`, and `u * c + (1 - u) * x`.
    Every `W` has a bias. `ema` is `damped_ema`; if not `causal`, plus one that runs backwards, with
    parameters of its own, and both count the present. The attention has a softmax; the paper also
    offers a Laplace function. The gate is a residual path; norms and feed-forward are the caller's.

    Args:
        width: Size of the vectors.
        dim: Size of queries and keys, `z` in the paper.
        hidden: Size of the values, `v` in the paper.
        ema_dim: Averages a component, `h` in the paper.
        causal: Does nobody see the future, neither average nor attention?
        positions: For one head: rotates queries and keys, or adds to their scores.
        dropout: Share of the weights that is dropped while training.

    Raises:
        ConfigError: A size is below 1, `positions` are not for one head of size `dim`, or `dropout`
            is not in [0, 1).
        UnsupportedError: On use: the mask is neither causal nor a choice of keys nor both; or it is
            causal, or there is a cache, and `causal` is not set.

    Source:
        Ma et al. 2022, arXiv:2209.10655, section 3.1 (average) and 3.2 (gated attention).

    Cost:
        `length x length` scores of one head, and the average. Exact.
    """

    def __init__(
        self,
        *,
        width: int,
        dim: int,
        hidden: int,
        ema_dim: int = 16,
        causal: bool = False,
        positions: RotaryPositions | RelativePositions | AlibiPositions | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(width=width, dim=dim, hidden=hidden, ema_dim=ema_dim)
        check_dropout(dropout)
        if isinstance(positions, RotaryPositions) and positions.dim != dim:
            raise ConfigError(f"positions must have dim {dim}, got {positions.dim}")
        if isinstance(positions, RelativePositions | AlibiPositions) and positions.heads != 1:
            raise ConfigError(f"positions must have 1 head, got {positions.heads}")
        self.causal, self.positions, self.dropout = causal, positions, dropout
        self.forwards = _Average(width, ema_dim)
        self.backwards = None if causal else _Average(width, ema_dim)
        self.shared = nn.Linear(width, dim)
        self.scale = nn.Parameter(torch.ones(2, dim) + 0.02 * torch.randn(2, dim))
        self.shift = nn.Parameter(torch.zeros(2, dim))
        self.value = nn.Linear(width, hidden)
        self.reset = nn.Linear(width, hidden)
        self.update = nn.Linear(width, width)
        self.candidate = nn.Linear(width, width)
        self.inner = nn.Linear(hidden, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        *,
        mask: Mask | None = None,
        cache: GatedEmaCache | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """Mix positions.

        Args:
            x: What looks, and what is looked at.
            mask: Who may see whom. With a cache its keys are all positions so far. `causal` need
                not be said again.
            cache: The positions before those of `x`; these are appended to it.
        """
        average, state = self._average(x, mask, cache)
        query, key = self._look(average, cache)
        value = silu(self.value(x))[:, None]
        if cache is not None:
            cache.average = state
            key, value = cache.keys.append(key, value)
        mixed = scaled_dot_attention(
            query,
            key,
            value,
            mask=self._visible(mask),
            bias=self._bias(query, key),
            dropout=self.dropout if self.training else 0.0,
        )
        reset, update = silu(self.reset(average)), self.update(average).sigmoid()
        candidate = silu(self.candidate(average) + self.inner(reset * mixed[:, 0]))
        return update * candidate + (1 - update) * x

    def weights(
        self,
        x: Float[Tensor, "batch length width"],
        *,
        mask: Mask | None = None,
        cache: GatedEmaCache | None = None,
    ) -> Float[Tensor, "batch 1 length keys"]:
        """Return the weights that `forward` uses for the same arguments, without dropout.

        The cache stays as it is: `forward` is what advances it.
        """
        average, _ = self._average(x, mask, cache)
        query, key = self._look(average, cache)
        if cache is not None and cache.keys.length:
            key = torch.cat([cache.keys.stored()[0], key], dim=2)
        visible, bias = self._visible(mask), self._bias(query, key)
        return scaled_dot_weights(query, key, mask=visible, bias=bias)

    def _average(
        self, x: Tensor, mask: Mask | None, cache: GatedEmaCache | None
    ) -> tuple[Tensor, Tensor]:
        """The moving average, in the dtype of `x`, and its state behind the last position."""
        if cache is not None and not self.causal:
            raise UnsupportedError("cache must be None without causal, got one")
        length = x.shape[1] + (0 if cache is None else cache.keys.length)
        there = existing(
            mask, new=x, length=length, heads=1, causal=self.causal, what="the moving average"
        )
        seen = x if there is None else x.masked_fill(~there[:, :, None], 0.0)
        average, state = self.forwards(seen, None if cache is None else cache.average)
        if self.backwards is not None:
            average = average + self.backwards(seen.flip(1), None)[0].flip(1)
        return average.to(x.dtype), state

    def _look(self, average: Tensor, cache: GatedEmaCache | None) -> tuple[Tensor, Tensor]:
        shared = silu(self.shared(average))[:, None]
        query, key = (shared * self.scale[i] + self.shift[i] for i in range(2))
        if isinstance(self.positions, RotaryPositions):
            offset = 0 if cache is None else cache.keys.length
            query = self.positions(query, offset=offset)
            key = self.positions(key, offset=offset)
        return query, key

    def _bias(self, query: Tensor, key: Tensor) -> Tensor | None:
        if isinstance(self.positions, RelativePositions | AlibiPositions):
            return self.positions(query.shape[2], key.shape[2]).to(query.dtype)
        return None

    def _visible(self, mask: Mask | None) -> Mask | None:
        if not self.causal:
            return mask
        return Mask.causal() if mask is None else Mask.causal() & mask


class _Average(nn.Module):
    """The parameters of `damped_ema`; `alpha` and `delta` before their sigmoid."""

    def __init__(self, width: int, ema_dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(0.2 * torch.randn(width, ema_dim))
        self.delta = nn.Parameter(0.2 * torch.randn(width, ema_dim))
        # signs in turn, so that the averages of one component do not all grow together
        signs = 1.0 - 2.0 * (torch.arange(ema_dim) % 2)
        self.beta = nn.Parameter(signs + 0.02 * torch.randn(width, ema_dim))
        self.eta = nn.Parameter(torch.randn(width, ema_dim) * ema_dim**-0.5)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        alpha, delta = widen(self.alpha).sigmoid(), widen(self.delta).sigmoid()
        parameters = {"alpha": alpha, "delta": delta, "beta": self.beta, "eta": self.eta}
        return damped_ema(x, **parameters, state=state)


def damped_ema(
    x: Float[Tensor, "batch length width"],
    *,
    alpha: Float[Tensor, "width ema_dim"],
    delta: Float[Tensor, "width ema_dim"],
    beta: Float[Tensor, "width ema_dim"],
    eta: Float[Tensor, "width ema_dim"],
    state: Float[Tensor, "batch width ema_dim"] | None = None,
) -> tuple[Float[Tensor, "batch length width"], Float[Tensor, "batch width ema_dim"]]:
    """Average each component of a text with what came before it, `ema_dim` times.

    `h_t = alpha * beta * x_t + (1 - alpha * delta) * h_(t - 1)`, `y_t = eta . h_t`.

    Args:
        x: The text.
        alpha: How much the present counts, in (0, 1).
        delta: How much less the past counts for it, in (0, 1).
        beta: What becomes of a component in each of its averages.
        eta: How the averages of a component are put together.
        state: `h` before the first position. `None` means 0.

    Returns:
        `y` and the last `h`, both in float32 at least.

    Raises:
        ShapeError: The tensors do not fit together.

    Source:
        Ma et al. 2022, arXiv:2209.10655, section 3.1.

    Cost:
        Time is `length x CHUNK` products a component, not `length x ema_dim` states: within a chunk
        the average is a convolution, between chunks it is a step. Exact, and later positions
        cannot matter, bit for bit, as they would with a Fourier transform.
    """
    batch, length, width = x.shape
    for name, weight in (("alpha", alpha), ("delta", delta), ("beta", beta), ("eta", eta)):
        check_axes(name, weight, width=width, ema_dim=alpha.shape[-1])
    x, alpha, delta = widen(x), widen(alpha), widen(delta)
    gain, read = alpha * widen(beta), widen(eta)
    size = max(1, min(CHUNK, length))
    steps = torch.arange(size + 1, device=x.device, dtype=x.dtype)
    powers = (1 - alpha * delta)[:, :, None] ** steps  # of the decay: width, ema_dim, size + 1
    kernel = ((read * gain)[:, None] @ powers)[:, 0]
    lag = torch.arange(size, device=x.device)[:, None] - torch.arange(size, device=x.device)
    near = kernel[:, lag.clamp(min=0)].masked_fill(lag < 0, 0.0)  # width, to, from
    far = read[:, :, None] * powers[:, :, 1:]
    keep = (gain[:, :, None] * powers[:, :, :size]).flip(2)
    if state is None:
        state = x.new_zeros(batch, width, gain.shape[1])
    check_axes("state", state, batch=batch, width=width, ema_dim=gain.shape[1])
    held = state.transpose(0, 1)  # width, batch, ema_dim
    pieces: list[Tensor] = []
    for piece in x.permute(2, 0, 1).split(size, dim=2):
        count = piece.shape[2]
        pieces.append(piece @ near[:, :count, :count].mT + held @ far[:, :, :count])
        held = held * powers[:, None, :, count] + piece @ keep[:, :, size - count :].mT
    return torch.cat(pieces, dim=2).permute(1, 2, 0), held.transpose(0, 1)
