"""Non-local blocks: every pixel receives a weighted sum of all pixels."""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn.vision._image import (
    check_channels,
    mix_pixels,
    pool_windows,
    to_image,
    to_pixels,
    weigh_pixels,
)
from heedful.nn.vision._residual import PixelAttention

Affinity = Literal["embedded_gaussian", "gaussian", "dot"]


class NonLocal(PixelAttention):
    """Add to every pixel a weighted sum of all pixels.

    `y_i = x_i + out(sum_j w_ij value(x_j))`. The weights `w_i` are, by `affinity`:

    * "embedded_gaussian": `softmax_j(query(x_i) . key(x_j))`
    * "gaussian": `softmax_j(x_i . x_j)`
    * "dot": `query(x_i) . key(x_j) / keys`, positive or negative, not summing to one

    The dot products are not scaled. `out` starts as 0, so that the block starts as the identity;
    there is no batch normalisation behind it. A pixel that `mask` hides is no key and gives 0.

    Args:
        channels: Of the image.
        reduction: How many times fewer numbers a query, key and value have; divides `channels`.
        affinity: How well two pixels fit, as above.
        window: Of every `window x window` pixels, keys and values keep the largest numbers. 1 keeps
            all. Windows at the border may be cut short, so that no pixel is left out.

    Raises:
        ConfigError: `channels`, `reduction` or `window` is below 1, `reduction` does not divide, or
            `affinity` is unknown.

    Source:
        Wang et al. 2017, arXiv:1711.07971, sections 3.2 and 3.3, equations 2, 3, 4 and 6.

    Cost:
        `height width` queries and `height width / window^2` keys. Exact. Fused kernels store no
        scores, and "dot" multiplies keys with values first, which is linear in the pixels.
    """

    def __init__(
        self,
        *,
        channels: int,
        reduction: int = 2,
        affinity: Affinity = "embedded_gaussian",
        window: int = 1,
    ) -> None:
        super().__init__(channels=channels)
        check_channels(channels, reduction=reduction)
        if affinity not in get_args(Affinity):
            known = ", ".join(get_args(Affinity))
            raise ConfigError(f"affinity must be one of {known}, got {affinity!r}")
        if window < 1:
            raise ConfigError(f"window must be at least 1, got {window}")
        self.reduction, self.affinity, self.window = reduction, affinity, window
        dim = channels // reduction
        embedded = affinity != "gaussian"
        self.query = nn.Linear(channels, dim) if embedded else nn.Identity()
        self.key = nn.Linear(channels, dim) if embedded else nn.Identity()
        self.value = nn.Linear(channels, dim)
        self.out = nn.Linear(dim, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def _added(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query = self.query(to_pixels(x))
        key, seen = self._pool(self.key, x, mask)
        value, _ = self._pool(self.value, x, mask)
        return to_image(self.out(self.mix(query, key, value, seen)), width=x.shape[3])

    def mix(
        self,
        query: Float[Tensor, "batch queries dim"],
        key: Float[Tensor, "batch keys dim"],
        value: Float[Tensor, "batch keys value_dim"],
        mask: Bool[Tensor, "batch rows columns"] | None,
    ) -> Float[Tensor, "batch queries value_dim"]:
        """Mix what is projected already; `forward` does all of it here, where `probe` listens.

        `mask` says which keys exist.
        """
        if self.affinity == "dot":
            return _dot(query, key, mask, value)
        return mix_pixels(query, key, value, mask)

    def _weigh(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query = self.query(to_pixels(x))
        key, seen = self._pool(self.key, x, mask)
        weigh = _dot if self.affinity == "dot" else weigh_pixels
        return weigh(query, key, seen)

    def _pool(
        self, project: nn.Module, x: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Project, then pool: in this order the sub-sampling follows the projection."""
        image = to_image(project(to_pixels(x)), width=x.shape[3])
        pooled, seen = pool_windows(image, mask, self.window)
        return to_pixels(pooled), seen


def _dot(query: Tensor, key: Tensor, seen: Tensor | None, value: Tensor | None = None) -> Tensor:
    """`query . key / keys`, times `value` if there is one; keys that do not exist are 0."""
    wide = torch.promote_types(query.dtype, torch.float32)
    count = key.shape[1] if seen is None else seen.sum((1, 2)).clamp(min=1)[:, None, None]
    right = key.to(wide).mT if value is None else key.to(wide).mT @ value.to(wide)
    return (query.to(wide) @ right / count).to(query.dtype)
