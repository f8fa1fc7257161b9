"""What all vision modules share: checks, hidden pixels, pooling, and images as rows of pixels."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights

Image = Float[Tensor, "batch channels height width"]
Exists = Bool[Tensor, "batch height width"]

# ---- checks -------------------------------------------------------------------------------------


def check_image(x: Tensor, mask: Tensor | None, *, channels: int) -> None:
    """Raise unless `x` is an image of so many channels, and `mask` fits it.

    Raises:
        ShapeError: `x` has other axes or channels, or `mask` another shape.
        ConfigError: `x` is not floating-point, or `mask` not boolean.
    """
    if x.ndim != 4:
        raise ShapeError(
            f"x must be 4-D (batch, channels, height, width), "
            f"got a tensor of shape {tuple(x.shape)}"
        )
    if not x.is_floating_point():
        raise ConfigError(f"x must be floating-point, got {x.dtype}")
    if x.shape[1] != channels:
        raise ShapeError(f"x must have channels={channels}, got {x.shape[1]}")
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ConfigError(f"mask must be boolean (True = the pixel exists), got {mask.dtype}")
    batch, _, height, width = x.shape
    if tuple(mask.shape) != (batch, height, width):
        raise ShapeError(
            f"mask must have shape ({batch=}, {height=}, {width=}), got {tuple(mask.shape)}"
        )


def check_channels(channels: int, **divisors: int) -> None:
    """Raise unless there are channels, and every divisor divides them, e.g. `reduction=16`.

    Raises:
        ConfigError: A number is below 1, or does not divide.
    """
    if channels < 1:
        raise ConfigError(f"channels must be at least 1, got {channels}")
    for name, divisor in divisors.items():
        if divisor < 1 or channels % divisor:
            raise ConfigError(
                f"{name} must be at least 1 and divide channels, got {name}={divisor}, {channels=}"
            )


# ---- pixels that do not exist -------------------------------------------------------------------


def hide(x: Image, mask: Exists | None) -> Image:
    """0 at pixels that do not exist: filled and not multiplied, because NaN times 0 is NaN."""
    return x if mask is None else x.masked_fill(~mask[:, None], 0.0)


def hide_rows(x: Float[Tensor, "batch ..."], mask: Exists | None) -> Float[Tensor, "batch ..."]:
    """0 for images without any pixel that exists."""
    if mask is None:
        return x
    empty = ~mask.flatten(1).any(1)
    return x.masked_fill(empty[(...,) + (None,) * (x.ndim - 1)], 0.0)


def mean_over_pixels(x: Image, mask: Exists | None) -> Float[Tensor, "batch channels"]:
    """The mean of every channel over the pixels that exist, or 0; rounded once."""
    total = hide(x, mask).sum((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))
    if mask is None:
        return (total / (x.shape[2] * x.shape[3])).to(x.dtype)
    return (total / mask.sum((1, 2)).clamp(min=1)[:, None]).to(x.dtype)


def max_over_pixels(x: Image, mask: Exists | None) -> Float[Tensor, "batch channels"]:
    """The largest number of every channel among the pixels that exist, or 0."""
    return hide_rows(_sink(x, mask).amax((2, 3)), mask)


def pool_windows(
    x: Image, mask: Exists | None, window: int
) -> tuple[Float[Tensor, "batch channels rows columns"], Bool[Tensor, "batch rows columns"] | None]:
    """The largest number in each window of pixels that exist, and which windows have one.

    Windows at the border may be cut short, so that no pixel is left out.
    """
    if window == 1:
        return hide(x, mask), mask
    pooled = max_pool2d(_sink(x, mask), window, ceil_mode=True)
    if mask is None:
        return pooled, None
    some = max_pool2d(mask[:, None].to(x.dtype), window, ceil_mode=True)[:, 0] > 0
    return hide(pooled, some), some


def _sink(x: Image, mask: Exists | None) -> Image:
    """The lowest number at pixels that do not exist, so that they are no maximum."""
    return x if mask is None else x.masked_fill(~mask[:, None], torch.finfo(x.dtype).min)


# ---- attention between pixels -------------------------------------------------------------------


def to_pixels(x: Image) -> Float[Tensor, "batch pixels channels"]:
    """One row for each pixel, line by line: a 1x1 convolution is then a linear map."""
    return x.flatten(2).mT


def to_image(pixels: Float[Tensor, "batch pixels channels"], *, width: int) -> Image:
    """The opposite of `to_pixels`."""
    return pixels.mT.unflatten(2, (-1, width))


def mask_keys(mask: Exists | None) -> Mask | None:
    """Every query sees the pixels that exist; one byte a key, not one a pair."""
    return None if mask is None else Mask.dense(mask.flatten(1)[:, None, None])


def mix_pixels(
    query: Float[Tensor, "batch queries dim"],
    key: Float[Tensor, "batch keys dim"],
    value: Float[Tensor, "batch keys value_dim"],
    mask: Exists | None,
) -> Float[Tensor, "batch queries value_dim"]:
    """One head of unscaled dot-product attention, on torch's fused kernel."""
    mixed = scaled_dot_attention(
        query[:, None], key[:, None], value[:, None], mask=mask_keys(mask), scale=1.0
    )
    return mixed[:, 0]


def weigh_pixels(
    query: Float[Tensor, "batch queries dim"],
    key: Float[Tensor, "batch keys dim"],
    mask: Exists | None,
) -> Float[Tensor, "batch queries keys"]:
    """The weights by which `mix_pixels` sums."""
    return scaled_dot_weights(query[:, None], key[:, None], mask=mask_keys(mask), scale=1.0)[:, 0]


def hide_queries(
    weights: Float[Tensor, "batch queries keys"], mask: Exists | None
) -> Float[Tensor, "batch queries keys"]:
    """0 in the rows of pixels that do not exist."""
    return weights if mask is None else weights.masked_fill(~mask.flatten(1)[:, :, None], 0.0)
