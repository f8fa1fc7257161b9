"""Attention on images: modules that take `(batch, channels, height, width)` and give it back.

`VISION` holds all of them by name. Each takes `channels` and settings of its own by keyword, and a
`mask` of the pixels that exist in every call; `weights` returns what it weighed by.
"""

from torch import nn

from heedful.nn.vision.axial import Axial, AxialWeights
from heedful.nn.vision.cbam import Cbam, CbamWeights
from heedful.nn.vision.eca import Eca
from heedful.nn.vision.non_local import NonLocal
from heedful.nn.vision.sagan import Sagan
from heedful.nn.vision.squeeze_excitation import SqueezeExcitation

VISION: dict[str, type[nn.Module]] = {
    "axial": Axial,
    "cbam": Cbam,
    "eca": Eca,
    "non_local": NonLocal,
    "sagan": Sagan,
    "squeeze_excitation": SqueezeExcitation,
}

__all__ = [  # noqa: RUF022 (every list of names is in plain order)
    "Axial",
    "AxialWeights",
    "Cbam",
    "CbamWeights",
    "Eca",
    "NonLocal",
    "Sagan",
    "SqueezeExcitation",
    "VISION",
]
