"""Mechanisms without parameters: one op each, with its settings."""

from collections.abc import Sequence
from typing import Any, final

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.blockwise import blockwise_attention, blockwise_weights
from heedful.ops.dot import dot_attention, dot_weights
from heedful.ops.linear import linear_attention, linear_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.ops.sparsemax import sparsemax_attention, sparsemax_weights
from heedful.ops.temperature import COEFFICIENTS, temperature_attention, temperature_weights
from heedful.ops.top_k import top_k_attention, top_k_weights
from heedful.ops.window import window_attention, window_weights


@final
class Blockwise(OpMechanism, attention=blockwise_attention, weights=blockwise_weights):
    """Exactly scaled dot-product attention, in memory linear in the length, also for the gradient.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        block: Queries, and keys, per block. At least 1.

    Raises:
        ConfigError: `block < 1`.

    Source:
        Rabe et al. 2021, arXiv:2112.05682.
    """

    def __init__(self, *, heads: int, dim: int, block: int = 512) -> None:
        super().__init__(heads=heads, dim=dim)
        check_sizes(block=block)
        self.block = block

    def arguments(self) -> dict[str, Any]:
        return {"block": self.block}


@final
class Dot(OpMechanism, attention=dot_attention, weights=dot_weights):
    """Score by `query . key`; nothing is learned.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (dot).
    """

    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__(heads=heads, dim=dim)


@final
class Linear(OpMechanism, attention=linear_attention, weights=linear_weights):
    """Weigh by products of the features `elu(x) + 1`, in linear time; nothing to learn.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Katharopoulos et al. 2020, arXiv:2006.16236.
    """

    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__(heads=heads, dim=dim)


@final
class ScaledDot(OpMechanism, attention=scaled_dot_attention, weights=scaled_dot_weights):
    """Score by `scale * query . key`; nothing is learned.

    The same as no mechanism in `heedful.nn.Attention`, where the scale need not be another.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
    """

    def __init__(self, *, heads: int, dim: int, scale: float | None = None) -> None:
        super().__init__(heads=heads, dim=dim)
        self.scale = scale

    def arguments(self) -> dict[str, Any]:
        return {"scale": self.scale}


@final
class Sparsemax(OpMechanism, attention=sparsemax_attention, weights=sparsemax_weights):
    """Weights most of which are exactly 0; nothing to learn or to set.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Martins and Astudillo 2016, arXiv:1602.02068.
    """

    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__(heads=heads, dim=dim)


@final
class Temperature(OpMechanism, attention=temperature_attention, weights=temperature_weights):
    """Sharpen weights that are spread out, as in texts longer than those of the training.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        coefficients: Of the polynomial from entropy to sharpness, the highest power first. The
            default was fitted to the model of the authors: fit your own.
        least_entropy: Up to this entropy, in nats, nothing changes.

    Raises:
        ConfigError: There are no coefficients.

    Source:
        Veličković et al. 2024, arXiv:2410.01104.
    """

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        coefficients: Sequence[float] = COEFFICIENTS,
        least_entropy: float = 0.5,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if not len(coefficients):
            raise ConfigError("coefficients must have at least one entry, got none")
        self.coefficients, self.least_entropy = tuple(coefficients), least_entropy

    def arguments(self) -> dict[str, Any]:
        return {"coefficients": self.coefficients, "least_entropy": self.least_entropy}


@final
class TopK(OpMechanism, attention=top_k_attention, weights=top_k_weights):
    """Softmax over the largest scores of a query only.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        kept: How many keys a query keeps. At least 1.
        straight_through: Pass gradients back to the scores as if all keys had been kept?

    Raises:
        ConfigError: `kept < 1`.

    Source:
        Zhao et al. 2019, arXiv:1912.11637.
    """

    def __init__(
        self, *, heads: int, dim: int, kept: int = 8, straight_through: bool = False
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        check_sizes(kept=kept)
        self.kept, self.straight_through = kept, straight_through

    def arguments(self) -> dict[str, Any]:
        return {"kept": self.kept, "straight_through": self.straight_through}


@final
class Window(OpMechanism, attention=window_attention, weights=window_weights):
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

    def arguments(self) -> dict[str, Any]:
        return {"window": self.window, "ahead": self.ahead, "sinks": self.sinks}
