"""Window attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.window import window_attention, window_weights


@final
class Window(Mechanism):
    """See the near past and the first keys only; memory grows with the text, not with its square.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        window: Keys met behind and including the query's position. At least 1.
        ahead: Keys met after it.
        sinks: Leading keys that are met at any distance behind the query.

    Raises:
        ConfigError: `window < 1`, `ahead < 0` or `sinks < 0`.

    Source:
        Beltagy et al. 2020, arXiv:2004.05150 (window).
        Xiao et al. 2023, arXiv:2309.17453 (sinks).
    """

    def __init__(
        self, *, heads: int, dim: int, window: int = 128, ahead: int = 0, sinks: int = 0
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        Mask.window(window, ahead=ahead, sinks=sinks)  # refuses what cannot be
        self.window, self.ahead, self.sinks = window, ahead, sinks

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return window_attention(
            query,
            key,
            value,
            window=self.window,
            ahead=self.ahead,
            sinks=self.sinks,
            mask=mask,
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return window_weights(
            query, key, window=self.window, ahead=self.ahead, sinks=self.sinks, mask=mask
        )
