"""One call of attention, checked once: what every kernel is given."""

import math
import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.listeners import compiling, unobserved
from heedful.mask import Mask, Pattern

REMEMBERED = 8  # masks taken apart that are kept: a model has few, and asks for them in every layer


class Missing(str):
    """A reason that lies in this machine and not in the call: the kernel is not to be had here."""


class Call(NamedTuple):
    """Tensors that fit together, in the dtype in which the answer is given.

    Args:
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`; `kv_heads` divides `heads`.
        value: `(batch, kv_heads, keys, value_dim)`.
        mask: Fits these sizes. `None` means: all is visible.
        bias: Floating-point; broadcasts to `(batch, heads, queries, keys)`.
        scale: Factor of the dot product.
        dropout: Share of the weights that is set to 0 at random.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Mask | None
    bias: Tensor | None
    scale: float
    dropout: float

    @staticmethod
    def of(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Mask | None = None,
        bias: Tensor | None = None,
        scale: float | None = None,
        dropout: float = 0.0,
    ) -> "Call":
        """Check all of it; under autocast, cast as torch's own attention does.

        Args:
            query: What is looked for.
            key: What is looked at; `kv_heads` divides `heads`.
            value: What is returned.
            mask: Which query may see which key. `None` means: all.
            bias: Added to the scores; broadcasts to `(batch, heads, queries, keys)`.
            scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.
            dropout: Share of the weights that is set to 0 at random.

        Raises:
            ShapeError: The tensors, the bias or the mask do not fit together.
            ConfigError: A tensor is none or not floating-point, `dropout` is not in [0, 1), `scale`
                is no finite number, `mask` is no `Mask`, or a length of it exceeds `keys`.
            UnsupportedError: Query, key and value differ in dtype or device, or have 8 bits.
        """
        if not (_is_tensor(query) and _is_tensor(key) and _is_tensor(value)):
            check_qkv(query, key, value)
        q, k, v = query.shape, key.shape, value.shape
        # the whole of `check_qkv` in one line, because every call pays for it
        if not (
            len(q) == len(k) == len(v) == 4
            and q[0] == k[0] == v[0]
            and k[1] >= 1
            and k[1] == v[1]
            and k[2] == v[2]
            and q[3] == k[3]
            and not q[1] % k[1]
            and query.dtype.itemsize > 1
            and query.is_floating_point()
            and key.is_floating_point()
            and value.is_floating_point()
        ):
            check_qkv(query, key, value)
        if bias is not None:
            check_bias(bias, (q[0], q[1], q[2], k[2]))
        if mask is not None and not isinstance(mask, Mask):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _no_mask(mask)
        if dropout != 0:
            check_dropout(dropout)
        if mask is not None:
            mask.check(q[2], k[2], batch=q[0], heads=q[1])
        device = "cpu" if query.is_cpu else query.device.type
        # autocast does not know every device, such as meta, and says so by an error
        if device in ("cpu", "cuda", "mps", "xpu") and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            query, key, value = _cast(query, dtype), _cast(key, dtype), _cast(value, dtype)
        near = key.is_cpu and value.is_cpu if query.is_cpu else _one_device(query, key, value)
        if not (near and query.dtype == key.dtype == value.dtype):
            raise _unlike(query, key, value)
        if scale is None:
            scale = 1 / math.sqrt(q[3]) if q[3] else 1.0
        else:
            _check_scale(scale)
        return Call(query, key, value, mask, bias, scale, dropout)

    def needs_gradient(self) -> bool:
        """Will somebody ask for a gradient?"""
        return torch.is_grad_enabled() and (
            self.query.requires_grad
            or self.key.requires_grad
            or self.value.requires_grad
            or (self.bias is not None and self.bias.requires_grad)
        )

    def visible(self) -> Tensor | None:
        """The mask as truth values, `(#batch, #heads, #queries, #keys)`; `None`: all is visible."""
        if self.mask is None:
            return None
        batch, heads, queries, _ = self.query.shape
        keys, device = self.key.shape[2], self.query.device
        return self.mask.to_bool(queries, keys, batch=batch, heads=heads, device=device)

    def pattern(self) -> Pattern:
        """The mask taken apart; that of a mask which was asked for just before is remembered."""
        mask = self.mask
        if mask is None:
            return NOTHING
        (batch, heads, queries, _), keys = self.query.shape, self.key.shape[2]
        if not unobserved():  # what is found now is another's: a graph's, a transform's
            return mask.pattern(queries, keys, batch=batch, heads=heads)
        sizes = (batch, heads, queries, keys)
        kept = _patterns.get(id(mask))
        # a mask never changes, but its number may have belonged to one that is gone
        if kept is None or kept[0]() is not mask or kept[1] != sizes:
            found = mask.pattern(queries, keys, batch=batch, heads=heads)
            for oldest in [*_patterns.copy()][: 1 - REMEMBERED]:  # other threads write here
                _patterns.pop(oldest, None)
            kept = _patterns[id(mask)] = (weakref.ref(mask), sizes, found)
        return kept[2]


NOTHING = Pattern()  # of a mask that hides nothing
_patterns: dict[int, tuple[weakref.ref[Mask], tuple[int, ...], Pattern]] = {}


def share_heads(tensor: Tensor, heads: int) -> Tensor:
    """Give every query head its key/value head; neighbours share one (arXiv:2305.13245)."""
    groups = heads // tensor.shape[1]
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=1)


def check_qkv(
    query: Tensor, key: Tensor, value: Tensor | None = None, *, same_dim: bool = True
) -> None:
    """Raise unless the tensors are `(batch, heads, length, dim)` and fit together.

    Args:
        query: What is looked for.
        key: What is looked at; its heads divide those of `query`.
        value: What is returned; shaped like `key` up to its last axis.
        same_dim: Must `query` and `key` have the same dim?

    Raises:
        ShapeError: They do not fit.
        ConfigError: One of them is no tensor, or not floating-point.
        UnsupportedError: One of them has fewer than 16 bits a number, which torch cannot add.
    """
    named = {"query": query, "key": key} | ({} if value is None else {"value": value})
    for name, tensor in named.items():
        if not _is_tensor(tensor):
            raise ConfigError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if tensor.ndim != 4:
            raise ShapeError(
                f"{name} must be 4-D (batch, heads, length, dim), "
                f"got a tensor of shape {tuple(tensor.shape)}"
            )
        if not tensor.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")
        if tensor.dtype.itemsize < 2:
            raise UnsupportedError(f"{name} must have 16 bits a number or more, got {tensor.dtype}")
        if tensor.shape[0] != query.shape[0]:
            raise ShapeError(
                f"query and {name} must have the same batch size, "
                f"got {query.shape[0]} and {tensor.shape[0]}"
            )
    heads, kv_heads = query.shape[1], key.shape[1]
    if kv_heads < 1 or heads % kv_heads:
        raise ShapeError(f"heads of key must divide heads of query, got {kv_heads=}, {heads=}")
    if same_dim and query.shape[3] != key.shape[3]:
        raise ShapeError(
            f"query and key must have the same dim, got {query.shape[3]} and {key.shape[3]}"
        )
    if value is not None and value.shape[1] != kv_heads:
        raise ShapeError(
            f"key and value must have the same heads, got {kv_heads} and {value.shape[1]}"
        )
    if value is not None and value.shape[2] != key.shape[2]:
        raise ShapeError(
            f"key and value must have the same length, got {key.shape[2]} and {value.shape[2]}"
        )


def check_dropout(dropout: float) -> None:
    """Raise unless it is a share of the weights.

    Raises:
        ConfigError: It is not.
    """
    if not _is_number(dropout) or not 0 <= dropout < 1:
        raise ConfigError(f"dropout must be at least 0 and below 1, got {dropout!r:.80}")


def check_bias(bias: Tensor, scores: tuple[int, int, int, int]) -> None:
    """Raise unless `bias` can be added to scores of this shape.

    Raises:
        ShapeError: It does not broadcast to `scores`.
        ConfigError: It is not floating-point.
    """
    if not _is_tensor(bias):
        raise ConfigError(f"bias must be a tensor, got {type(bias).__name__}")
    if not bias.is_floating_point():
        raise ConfigError(f"bias must be floating-point (a boolean is a Mask), got {bias.dtype}")
    shape = bias.shape
    missing = 4 - len(shape)
    if missing < 0 or any(
        size != 1 and size != need for size, need in zip(shape, scores[missing:], strict=True)
    ):
        raise ShapeError(
            f"bias must broadcast to (batch, heads, queries, keys) = {scores}, got {tuple(shape)}"
        )


def bias_as(bias: Tensor, dtype: torch.dtype) -> Tensor:
    """The bias in another dtype; a number that is lower than any there stays one, as -inf hides."""
    if bias.dtype == dtype:
        return bias
    if torch.finfo(bias.dtype).max <= torch.finfo(dtype).max:
        return bias.to(dtype)
    low = bias.clamp(min=torch.finfo(dtype).min).to(dtype)
    return torch.where(bias == float("-inf"), float("-inf"), low)


def _is_tensor(given: object) -> bool:
    return isinstance(given, Tensor)


def _check_scale(scale: Any) -> None:
    if type(scale) is float and -math.inf < scale < math.inf:
        return
    if isinstance(scale, Tensor) and scale.requires_grad:
        raise ConfigError(
            "scale must be a number, got a tensor that needs a gradient, which would be lost; "
            "multiply query by it"
        )
    if not _is_number(scale):
        raise ConfigError(f"scale must be a finite number, got {scale!r:.80}")


def _is_number(given: Any) -> bool:
    try:  # a graph keeps numbers open, and cannot ask what they are
        return compiling() or math.isfinite(given)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return False


def _one_device(query: Tensor, key: Tensor, value: Tensor) -> bool:
    return query.device == key.device == value.device


def _unlike(*tensors: Tensor) -> UnsupportedError:
    """What differs among query, key and value."""
    dtypes = [str(x.dtype) for x in tensors]
    what, got = (
        ("dtype", dtypes) if len(set(dtypes)) > 1 else ("device", [x.device for x in tensors])
    )
    return UnsupportedError(
        f"query, key and value must have one {what}, got {got[0]}, {got[1]} and {got[2]}"
    )


def _no_mask(given: object) -> ConfigError:
    """What to say of a mask that is something else, and how to make one of it."""
    words = f"mask must be a heedful.Mask, got {type(given).__name__}"
    if isinstance(given, Tensor) and given.dtype == torch.bool:
        return ConfigError(f"{words}; Mask.dense(tensor) makes one, where True means: attend")
    if isinstance(given, Tensor):
        return ConfigError(
            f"{words} of {given.dtype}; numbers to add to the scores are given as bias=, "
            "truth values as Mask.dense(tensor)"
        )
    return ConfigError(words)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Autocast leaves double precision alone."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)
