"""A convolution that stands where self-attention stood."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv1d, glu, pad

from heedful.errors import ConfigError
from heedful.mask import Factors, Mask
from heedful.nn._settings import check_sizes
from heedful.nn.cache import KeyValueCache
from heedful.nn.fusion._positions import check_alone, time_and_choice


class LocalConvolution(nn.Module):
    """Mix neighbours by a gated depthwise convolution, and channels by what is around it.

    `out(depthwise(glu(inner(x))))`: position `p` gets `sum_s taps_s g_(p + s - kernel // 2)` over
    the positions that exist and that a causal mask lets it see. It is called as `Attention` is, for
    self-attention; with a cache, step by step gives what one causal pass gives. `out` starts at 0,
    so that at first every position gets the same vector, its bias. Unlike in the paper each channel
    has taps of its own, any numbers, and they look as far ahead as back.

    Args:
        width: Size of the input and of the output vectors.
        kernel: Number of taps. Odd.

    Raises:
        ConfigError: `width` or `kernel` is below 1, or `kernel` is even.
        ShapeError: On use: the mask does not fit; it cannot have heads.
        UnsupportedError: On use: `context` or `gates` are given, or the mask is not causal, a
            choice of keys, or both.

    Source:
        Wu et al. 2019, arXiv:1901.10430, section 3 (gated lightweight convolution).

    Cost:
        Three times `width x width` and `kernel x width` products a position. A cache keeps all
        gated positions, though only the last `kernel // 2` are read.
    """

    def __init__(self, *, width: int, kernel: int) -> None:
        super().__init__()
        check_sizes(width=width, kernel=kernel)
        if kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd, got {kernel}")
        self.kernel = kernel
        self.inner = nn.Linear(width, 2 * width)
        self.taps = nn.Parameter(torch.full((width, kernel), 1 / kernel))
        self.out = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.inner.weight)
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys width"] | None = None,
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
        gates: Float[Tensor, "batch heads queries #value_dim"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Mix neighbours.

        Args:
            x: What looks, and what is looked at.
            context: Must be `None` or `x`.
            mask: Who may see whom. With a cache its keys are all positions so far.
            cache: The positions before those of `x`; these are appended to it.
            gates: Must be `None`: there are no heads.
        """
        check_alone(x, context, gates, what="the convolution")
        before = 0 if cache is None else cache.length
        parts = self._parts(x, mask, before + x.shape[1])
        gated = glu(self.inner(x), -1)
        if cache is not None:
            stored = gated[:, None]
            gated = cache.append(stored, stored[..., :0])[0][:, 0]
        reach = self.kernel // 2
        start = max(0, before - reach)
        gated = gated[:, start:]
        if parts.keys is not None:
            gated = gated.masked_fill(~parts.keys[:, 0, start:, None], 0.0)
        # a causal mask hides what the taps would find ahead
        seen = self.taps if parts.causal is None else self.taps[:, : reach + 1]
        gated = pad(gated.mT, (reach - (before - start), seen.shape[1] - 1 - reach))
        return self.out(conv1d(gated, seen[:, None], groups=len(seen)).mT)

    def _parts(self, x: Tensor, mask: Mask | None, keys: int) -> Factors:
        size = (x.shape[0], 1, x.shape[1], keys)
        return time_and_choice(mask, size=size, like=x, what="the convolution")
