"""Nyström attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.nn._settings import check_sizes
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.nystrom import nystrom_attention, nystrom_weights


@final
class Nystrom(OpMechanism, attention=nystrom_attention, weights=nystrom_weights):
    """Let queries and keys meet through landmarks, the means of their segments.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        landmarks: Segments of the queries and of the keys.
        iterations: Steps of the pseudo-inverse.
        convolution: Places around its own that every query reads besides, with learned weights
            that start at 0. Odd; the paper has 33 and 35. `None`: none.
        aligned: Is it self-attention? Then padding is kept out of the queries' landmarks too;
            without, the answers depend on how much padding there is.

    Raises:
        ConfigError: `landmarks < 1`, `iterations < 0`, or `convolution` is not odd or comes without
            `aligned`.

    Source:
        Xiong et al. 2021, arXiv:2102.03902.
    """

    convolution: nn.Parameter | None

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        landmarks: int = 64,
        iterations: int = 6,
        convolution: int | None = None,
        aligned: bool = False,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        check_sizes(landmarks=landmarks)
        if iterations < 0:
            raise ConfigError(f"iterations must not be negative, got {iterations}")
        if convolution is not None and (convolution < 1 or convolution % 2 == 0):
            raise ConfigError(f"convolution must be odd and at least 1, got {convolution}")
        if convolution is not None and not aligned:
            raise ConfigError(f"convolution needs aligned=True, got {convolution=}, {aligned=}")
        self.landmarks, self.iterations, self.aligned = landmarks, iterations, aligned
        self.convolution = None
        if convolution is not None:
            self.convolution = nn.Parameter(torch.zeros(heads, convolution))

    def arguments(self) -> dict[str, Any]:
        return {
            "landmarks": self.landmarks,
            "iterations": self.iterations,
            "convolution": self.convolution,
            "aligned": self.aligned,
        }
