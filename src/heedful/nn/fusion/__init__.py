"""Attention together with what looks at neighbours: convolutions and moving averages."""

from torch import nn

from heedful.nn.fusion.conformer import ConformerBlock
from heedful.nn.fusion.conv_value import ConvolutionValues
from heedful.nn.fusion.gated_ema import GatedEma, GatedEmaCache, damped_ema
from heedful.nn.fusion.gated_recurrence import GatedRecurrence, linear_recurrence
from heedful.nn.fusion.local_convolution import LocalConvolution

# name (= file) -> module
FUSIONS: dict[str, type[nn.Module]] = {
    "conformer": ConformerBlock,
    "conv_value": ConvolutionValues,
    "gated_ema": GatedEma,
    "gated_recurrence": GatedRecurrence,
    "local_convolution": LocalConvolution,
}

__all__ = [  # noqa: RUF022 (every list of names is in plain order)
    "ConformerBlock",
    "ConvolutionValues",
    "FUSIONS",
    "GatedEma",
    "GatedEmaCache",
    "GatedRecurrence",
    "LocalConvolution",
    "damped_ema",
    "linear_recurrence",
]
