"""Every mechanism side by side with plain attention: time, memory, and how far from exact."""

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.bench.environment import Environment, environment
from heedful.bench.memory import peak_bytes
from heedful.bench.timing import Ratio, in_turns, ratio
from heedful.errors import ConfigError
from heedful.nn.mechanisms import MECHANISMS, Mechanism
from heedful.ops import scaled_dot_attention

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192)
MEBIBYTE = 2**20

# Those that set out to give what scaled dot-product attention gives, for less: only for them is the
# distance to it an error. The others mean something else.
APPROXIMATIONS = frozenset(
    {
        "block_sparse",
        "blockwise",
        "linformer",
        "low_rank",
        "neighbourhood",
        "nystrom",
        "paged_decoding",
        "performer",
        "reformer",
        "selected_blocks",
        "top_k",
        "window",
    }
)

# What one mechanism must know of the text, or would not be compared fairly without.
SETTINGS: dict[str, Callable[[int], Mapping[str, Any]]] = {
    "adaptive_span": lambda length: {"max_span": 256, "ramp": 32.0},
    "linformer": lambda length: {"max_keys": length, "rank": 128},
    "low_rank": lambda length: {"rank": 8},
    "neighbourhood": lambda length: {"shape": (length,), "window": (65,)},
    "reformer": lambda length: {"buckets": max(2, length // 32), "chunk": 64},
    "window": lambda length: {"window": 128, "sinks": 4},
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is measured, apart from the length.

    Args:
        batch: Texts at once.
        heads: Heads, each with its own keys and values.
        dim: Of queries, keys and values.
        seconds: About how long to measure one mechanism at one length.
        memory: Bytes that one call may take; what would take more is left out.
        seed: Of the random numbers.
    """

    batch: int = 1
    heads: int = 4
    dim: int = 64
    seconds: float = 2.0
    memory: int = 6 * 2**30
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One mechanism at one length. Numbers are `None` where it was left out.

    Args:
        mechanism: Its name.
        length: Queries, and keys.
        forward_ms: Median milliseconds of a forward pass without gradients.
        both_ms: Of a forward and a backward pass.
        forward_ratio: How many times faster than plain attention, measured in turns.
        both_ratio: The same, forward and backward.
        forward_mib: Memory that a forward pass takes at most, in MiB.
        both_mib: And a forward and a backward pass.
        error: Distance to plain attention, relative to its size; `None` if it means something else.
        left_out: Why there are no numbers; empty if there are.
    """

    mechanism: str
    length: int
    forward_ms: float | None = None
    both_ms: float | None = None
    forward_ratio: Ratio | None = None
    both_ratio: Ratio | None = None
    forward_mib: float | None = None
    both_mib: float | None = None
    error: float | None = None
    left_out: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All mechanisms at all lengths.

    Args:
        environment: On what it was measured.
        size: Of what was measured.
        lengths: From short to long.
        settings: Of each mechanism at the longest length, where they are not its defaults.
        cells: One for each mechanism and length.
    """

    environment: Environment
    size: Size
    lengths: tuple[int, ...]
    settings: dict[str, dict[str, Any]]
    cells: tuple[Cell, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def compare(
    *,
    lengths: Sequence[int] = LENGTHS,
    mechanisms: Iterable[str] | None = None,
    size: Size | None = None,
    on_progress: Callable[[str, int], None] = lambda mechanism, length: None,
) -> Comparison:
    """Measure mechanisms side by side with `scaled_dot_product_attention`.

    Args:
        lengths: Of the texts.
        mechanisms: Names of `heedful.nn.MECHANISMS`; `None` means all.
        size: Everything else about what is measured.
        on_progress: Called before a mechanism is measured at a length.

    Raises:
        ConfigError: An unknown mechanism, no length, or a length below 1.
    """
    size = Size() if size is None else size
    names = list(MECHANISMS if mechanisms is None else mechanisms)
    unknown = [name for name in names if name not in MECHANISMS]
    if unknown:
        raise ConfigError(f"mechanism must be one of {', '.join(MECHANISMS)}, got {unknown[0]!r}")
    if not lengths or min(lengths) < 1:
        raise ConfigError(f"lengths must be at least 1, got {', '.join(map(str, lengths))}")
    cells: list[Cell] = []
    for name in names:
        last: Cell | None = None
        for length in sorted(lengths):
            on_progress(name, length)
            last = _measure(name, length, size, last)
            cells.append(last)
    longest = max(lengths)
    return Comparison(
        environment=environment(),
        size=size,
        lengths=tuple(sorted(lengths)),
        settings={name: dict(SETTINGS[name](longest)) for name in names if name in SETTINGS},
        cells=tuple(cells),
    )


def texts(length: int, size: Size) -> tuple[Tensor, Tensor, Tensor]:
    """Queries that each look for one key, half of them for one nearby, and keys and values.

    Random numbers alone would make every query look everywhere, which no trained model does. And
    neighbours are alike, as in what a network makes of a text: four fifths of a key and of a value
    change slowly, over 32 places.
    """
    generator = torch.Generator().manual_seed(size.seed)
    shape = (size.batch, size.heads, length, size.dim)
    drawn = [torch.randn(shape, generator=generator) for _ in range(5)]
    key, value = (0.9 * _slow(x) + 0.45 * y for x, y in (drawn[:2], drawn[2:4]))
    anywhere = torch.randint(length, shape[:3], generator=generator)
    step = torch.randint(-8, 9, shape[:3], generator=generator)
    nearby = (torch.arange(length) + step).clamp(0, length - 1)
    far = torch.rand(shape[:3], generator=generator) < 0.5
    goal = torch.where(far, anywhere, nearby)[..., None].expand(shape)
    return key.gather(2, goal) + 0.5 * drawn[4], key, value


def _slow(x: Tensor, over: int = 32) -> Tensor:
    """Moving means, of the same variance as `x`."""
    sums = torch.nn.functional.pad(x, (0, 0, over, 0)).cumsum(2)
    return (sums[:, :, over:] - sums[:, :, :-over]) / over**0.5


def _measure(name: str, length: int, size: Size, last: Cell | None) -> Cell:
    left_out = "" if last is None else _too_much(last, length, size)
    if left_out:
        return Cell(mechanism=name, length=length, left_out=left_out)
    torch.manual_seed(size.seed)
    mechanism = build(name, length, size)
    tensors = texts(length, size)
    with torch.no_grad():
        exact = scaled_dot_attention(*tensors)
        output = mechanism(*tensors)
    distance = ((output - exact).norm() / exact.norm()).item()
    del output, exact
    calls = {"ours": _forward(mechanism, tensors), "plain": _forward(scaled_dot_attention, tensors)}
    forward, forward_ratio = _time(calls, size.seconds / 3)
    both = {"ours": _both(mechanism, tensors), "plain": _both(scaled_dot_attention, tensors)}
    backward, both_ratio = _time(both, size.seconds)
    return Cell(
        mechanism=name,
        length=length,
        forward_ms=1e3 * forward,
        both_ms=1e3 * backward,
        forward_ratio=forward_ratio,
        both_ratio=both_ratio,
        forward_mib=_mebibytes(calls["ours"]),
        both_mib=_mebibytes(both["ours"]),
        error=distance if name in APPROXIMATIONS else None,
    )


def build(name: str, length: int, size: Size) -> Mechanism:
    """A mechanism as it is measured at a length."""
    settings = SETTINGS[name](length) if name in SETTINGS else {}
    return MECHANISMS[name](heads=size.heads, dim=size.dim, **settings).eval()


def _too_much(last: Cell, length: int, size: Size) -> str:
    """Why a length is left out, judged by what the length before it took."""
    if last.left_out:
        return last.left_out
    growth = (length / last.length) ** 2
    if last.both_mib is not None and last.both_mib * growth * MEBIBYTE > size.memory:
        need = last.both_mib * growth / 1024
        return f"{length} would take up to {need:.0f} GiB"
    if last.both_ms is not None and last.both_ms * growth > 10e3 * size.seconds:
        return f"{length} would take up to {last.both_ms * growth / 1e3:.0f} s a pass"
    return ""


def _time(calls: Mapping[str, Callable[[], object]], seconds: float) -> tuple[float, Ratio]:
    once = in_turns(calls, rounds=1)
    spent = sum(times.median for times in once.values())
    rounds = min(31, max(3, int(seconds / spent)))
    times = in_turns(calls, rounds=rounds, warm_up=0)
    return times["ours"].median, ratio(times["plain"], times["ours"])


def _forward(attention: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> Callable[[], object]:
    def run() -> Tensor:
        with torch.no_grad():
            return attention(*tensors)

    return run


def _both(attention: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> Callable[[], object]:
    inputs = [x.clone().requires_grad_() for x in tensors]
    others = list(attention.parameters()) if isinstance(attention, Mechanism) else []
    gradient = torch.ones(*inputs[0].shape[:3], inputs[2].shape[3])

    def run() -> object:
        # parameters of a mechanism that this one input does not reach have no gradient
        return torch.autograd.grad(attention(*inputs), inputs + others, gradient, allow_unused=True)

    return run


def _mebibytes(call: Callable[[], object]) -> float | None:
    gc.collect()
    peak = peak_bytes(call)
    return None if peak is None else peak / MEBIBYTE
