"""What a mechanism that mixes neighbours can honour of a mask."""

from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.mask import Factors, Mask


def check_alone(x: Tensor, context: Tensor | None, gates: Tensor | None, *, what: str) -> None:
    """Raise unless what stands in the place of attention is called as it can be.

    Args:
        x: What looks.
        context: What it is asked to look at.
        gates: Factors of what heads mixed.
        what: What mixes neighbours, for the error.

    Raises:
        UnsupportedError: `context` is another text, or `gates` are given.
    """
    if context is not None and context is not x:
        raise UnsupportedError(f"context must be None for {what}, got another text")
    if gates is not None:
        raise UnsupportedError(f"gates must be None for {what}, got some")


def time_and_choice(
    mask: Mask | None, *, size: tuple[int, int, int, int], like: Tensor, what: str
) -> Factors:
    """The order of time and the choice of keys that make the mask.

    Args:
        mask: Any mask.
        size: Batch, heads, queries and keys.
        like: A tensor on the device where the result is needed.
        what: What mixes neighbours, for the error.

    Raises:
        ShapeError: The mask does not fit the sizes.
        ConfigError: A length of the mask exceeds the number of keys.
        UnsupportedError: The mask is not made of these two, or its time starts elsewhere than that
            of what mixes neighbours, whose last query stands at the last key.
    """
    if mask is None:
        return Factors(None, None)
    batch, heads, queries, keys = size
    parts = mask.factors(queries, keys, batch=batch, heads=heads, device=like.device)
    if parts is None:
        raise UnsupportedError(
            f"mask must be causal or hide the same keys from every query, or both, because {what} "
            f"mixes neighbours whoever asks, got {mask}"
        )
    if parts.causal == "start" and queries != keys:
        raise UnsupportedError(
            f"mask must align to the end where there are not as many queries as keys, because "
            f"{what} puts the last query at the last key, got {mask} for {queries=}, {keys=}"
        )
    return parts


def existing(
    mask: Mask | None, *, new: Tensor, length: int, heads: int, causal: bool, what: str
) -> Tensor | None:
    """Which of the new positions of a self-attention exist, `(#batch, new)`; `None`: all.

    Args:
        mask: Over all positions so far.
        new: The new positions, `(batch, new, width)`; the last of `length`.
        length: All positions so far.
        heads: Heads of the attention.
        causal: Does what mixes neighbours look back only?
        what: What mixes neighbours, for the error.

    Raises:
        ShapeError: The mask does not fit the sizes.
        ConfigError: A length of the mask exceeds the number of keys.
        UnsupportedError: The mask is causal and `causal` is not, the mask differs between heads, or
            it is not made of an order of time and a choice of keys.
    """
    batch, queries, _ = new.shape
    parts = time_and_choice(mask, size=(batch, heads, queries, length), like=new, what=what)
    if parts.causal is not None and not causal:
        raise UnsupportedError(
            f"mask must not be causal because {what} looks ahead, got {mask}. Set causal=True."
        )
    if parts.keys is None:
        return None
    if parts.keys.shape[1] != 1:
        raise UnsupportedError(
            f"mask must be the same for all heads because {what} has none, got {mask}"
        )
    return parts.keys[:, 0, length - queries :]
