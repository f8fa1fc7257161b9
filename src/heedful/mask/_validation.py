"""What the constructors of `Mask` refuse."""

from numbers import Integral
from typing import get_args

import torch
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask._base import Align, Rule


def check_lengths(lengths: Tensor) -> None:
    """1-D, integers, at least one. A negative one is refused where the values are read."""
    _check_integers("lengths", lengths)
    if lengths.ndim != 1 or lengths.shape[0] < 1:
        raise ShapeError(
            "lengths must be 1-D with at least one entry, "
            f"got a tensor of shape {tuple(lengths.shape)}"
        )


def check_window(window: int, ahead: int, sinks: int, align: str) -> None:
    """A window holds at least the query itself."""
    for name, size in (("window", window), ("ahead", ahead), ("sinks", sinks)):
        _check_whole(name, size)
    if window < 1:
        raise ConfigError(f"window must be at least 1, got {window}")
    if ahead < 0:
        raise ConfigError(f"ahead must not be negative, got {ahead}")
    if sinks < 0:
        raise ConfigError(f"sinks must not be negative, got {sinks}")
    check_align(align)


def check_neighbourhood(shape: tuple[int, ...], window: tuple[int, ...]) -> None:
    """As many windows as axes, each odd, so that it has a middle."""
    for name, sizes in (("shape", shape), ("window", window)):
        for size in sizes:
            _check_whole(name, size)
    if not shape or min(shape) < 1:
        raise ConfigError(f"shape must have at least one axis, each at least 1, got {shape}")
    if len(window) != len(shape):
        raise ConfigError(f"window must have one size per axis of {shape=}, got {window}")
    if any(size < 1 or size % 2 == 0 for size in window):
        raise ConfigError(f"window must be odd and at least 1 on every axis, got {window}")


def check_segments(query_segments: Tensor, key_segments: Tensor | None) -> None:
    """Integers, 2-D, for the same batch."""
    other = query_segments if key_segments is None else key_segments
    for name, ids in (("query_segments", query_segments), ("key_segments", other)):
        _check_integers(name, ids)
        if ids.ndim != 2:
            raise ShapeError(
                f"{name} must be 2-D (batch, length), got a tensor of shape {tuple(ids.shape)}"
            )
    if query_segments.shape[0] != other.shape[0]:
        raise ShapeError(
            "query_segments and key_segments must have the same batch size, "
            f"got {query_segments.shape[0]} and {other.shape[0]}"
        )


def check_dense(tensor: Tensor) -> None:
    """Boolean, 2-D or 4-D."""
    _check_bool("tensor", tensor)
    if tensor.ndim not in (2, 4):
        raise ShapeError(
            "tensor must be 2-D (queries, keys) or 4-D (batch, heads, queries, keys), "
            f"got a tensor of shape {tuple(tensor.shape)}"
        )


def check_blocks(blocks: Tensor, block: int) -> None:
    """Boolean, 4-D, and a block that holds something."""
    _check_bool("blocks", blocks)
    if blocks.ndim != 4:
        raise ShapeError(
            "blocks must be 4-D (batch, heads, query_blocks, key_blocks), "
            f"got a tensor of shape {tuple(blocks.shape)}"
        )
    _check_whole("block", block)
    if block < 1:
        raise ConfigError(f"block must be at least 1, got {block}")


def check_rule(rule: Rule) -> None:
    """What a mask is made of, which only its constructors know."""
    if not isinstance(rule, Rule):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            "a mask must be made by one of its constructors, such as Mask.dense(tensor) or "
            f"Mask.causal(), got Mask({type(rule).__name__})"
        )


def rule_of(mask: object) -> Rule:
    """What a mask is made of, if it is one."""
    rule = getattr(mask, "_rule", None)
    if not isinstance(rule, Rule):
        raise ConfigError(f"masks must be combined with masks, got {type(mask).__name__}")
    return rule


def check_rows(rows: Tensor) -> None:
    """1-D, integers or booleans; which of them exist is known where they are taken."""
    _check_tensor("rows", rows)
    if rows.dtype != torch.bool:
        _check_integers("rows", rows)
    if rows.ndim != 1:
        raise ShapeError(f"rows must be 1-D, got a tensor of shape {tuple(rows.shape)}")


def check_align(align: str) -> None:
    """One of the two words."""
    if align not in get_args(Align):
        raise ConfigError(f"align must be 'end' or 'start', got {align!r}")


def _check_tensor(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"{name} must be a tensor, got {type(tensor).__name__}")


def _check_whole(name: str, size: int) -> None:
    # NumPy's are not `int`, and neither is a size that a graph keeps open
    if type(size) is not int and not isinstance(size, Integral | torch.SymInt):
        raise ConfigError(f"{name} must be a whole number, got {size!r:.80}")


def _check_integers(name: str, tensor: Tensor) -> None:
    _check_tensor(name, tensor)
    if tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex():
        raise ConfigError(f"{name} must hold integers, got {tensor.dtype}")


def _check_bool(name: str, tensor: Tensor) -> None:
    _check_tensor(name, tensor)
    if tensor.dtype != torch.bool:
        raise ConfigError(f"{name} must be boolean (True = attend), got {tensor.dtype}")
