"""Random calls of attention, each from a seed and an index: sizes, dtypes, layouts, masks."""

import math
import random
from dataclasses import dataclass, field
from typing import Any

import torch
from _exact_attention import Problem
from torch import Tensor

from heedful.mask import Mask

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
BORDERS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
DIMS = (8, 16, 32, 64, 80, 96, 128, 256)
SCALES = (None, None, None, 0.3, 1.0, -0.4, 0.0, 8.0)
THREADS = (1, 2, 4)
WORK = 4e6  # products of a shape; one in `LARGE_EVERY` may have `LARGE` times as many
LARGE, LARGE_EVERY = 30, 12


@dataclass(kw_only=True)
class Shape:
    """One call, and in words what is special about it."""

    problem: Problem
    mask: Mask | None
    scale: float | None
    backward: bool
    threads: int
    random: random.Random
    words: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        p = self.problem
        shapes = " ".join(
            f"{name}={tuple(x.shape)}/{x.stride()}"
            for name, x in (("q", p.query), ("k", p.key), ("v", p.value), ("bias", p.bias))
            if x is not None
        )
        dtype = str(p.dtype).removeprefix("torch.")
        return f"{dtype} {shapes} scale={self.scale} {' '.join(self.words)} mask={self.mask!r}"


def length(draw: random.Random, largest: int = 700) -> int:
    """Often small, often at a border of tiles."""
    if draw.random() < 0.3:
        return max(1, draw.choice(BORDERS) + draw.randint(-1, 1))
    return max(1, min(largest, int(math.exp(draw.uniform(0, math.log(largest + 1))))))


def dim(draw: random.Random) -> int:
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(DIMS)
    return draw.randint(1, 256) if kind < 0.6 else length(draw, 256) if kind < 0.8 else 64


def sizes(draw: random.Random) -> dict[str, int]:
    kv_heads = draw.choice((1, 1, 2, 3, 4, 8))
    group = draw.choice([g for g in (1, 1, 2, 3, 4, 8) if g * kv_heads <= 8])
    batch, queries, keys = draw.randint(1, 4), length(draw), length(draw)
    kind = draw.random()
    if kind < 0.15:  # as in decoding
        queries, keys = draw.randint(1, 8), length(draw, 10_000)
    elif kind < 0.35:  # as in a text that looks at itself
        keys = queries
    elif kind < 0.4:  # few heads with many keys, which are worked on in parts
        batch, kv_heads, group = 1, draw.choice((1, 1, 2, 3)), draw.choice((1, 2))
        queries, keys = length(draw, 32), draw.randint(1000, 12_000)
    size = {
        "batch": batch,
        "kv_heads": kv_heads,
        "group": group,
        "queries": queries,
        "keys": keys,
        "dim": dim(draw),
        "value_dim": dim(draw),
    }
    if draw.random() < 0.5:
        size["value_dim"] = size["dim"]
    budget = WORK * (LARGE if draw.randrange(LARGE_EVERY) == 0 else 1)
    # the axes that matter least go first
    for name in ("batch", "kv_heads", "group", "dim", "value_dim", "queries", "keys"):
        while size[name] > 1 and work(size) > budget:
            size[name] = max(1, size[name] * 2 // 3)
    return size


def work(size: dict[str, int]) -> int:
    heads = size["batch"] * size["kv_heads"] * size["group"]
    return heads * size["queries"] * size["keys"] * (size["dim"] + size["value_dim"])


def numbers(shape: tuple[int, ...], draw: random.Random) -> Tensor:
    generator = torch.Generator().manual_seed(draw.getrandbits(60))
    return torch.randn(shape, generator=generator)


def laid_out(shape: tuple[int, ...], dtype: torch.dtype, draw: random.Random) -> tuple[Tensor, str]:
    """Random numbers `(batch, heads, length, dim)`, in one of the layouts that callers have."""
    batch, heads, count, width = shape
    kind = draw.choice(("plain", "plain", "projected", "slice", "strided", "expanded", "turned"))
    if kind == "projected":
        return numbers((batch, count, heads, width), draw).to(dtype).transpose(1, 2), kind
    if kind == "slice":
        whole = torch.full((batch + 1, heads, count + 2, width + 3), torch.nan, dtype=dtype)
        part = whole[1:, :, 1:-1, 2:-1]
        return part.copy_(numbers(shape, draw)), kind
    if kind == "strided":
        whole = torch.full((batch, heads, count, 2 * width), torch.nan, dtype=dtype)
        return whole[..., ::2].copy_(numbers(shape, draw)), kind
    if kind == "expanded":
        return numbers((batch, 1, count, width), draw).to(dtype).expand(shape), kind
    if kind == "turned":
        return numbers((batch, heads, width, count), draw).to(dtype).mT, kind
    return numbers(shape, draw).to(dtype), kind


def truth(shape: tuple[int, ...], share: float, draw: random.Random) -> Tensor:
    generator = torch.Generator().manual_seed(draw.getrandbits(60))
    return torch.rand(shape, generator=generator) < share


def part_of_mask(size: tuple[int, int, int, int], draw: random.Random) -> Mask:
    batch, heads, queries, keys = size
    align = draw.choice(("end", "start"))
    kind = draw.choice(
        ("causal", "anticausal", "window", "window", "lengths", "lengths", "segments", "dense",
         "blocks", "blocks", "neighbourhood", "nothing")
    )  # fmt: skip
    if kind == "causal":
        return Mask.causal(align)
    if kind == "anticausal":
        return Mask.anticausal(align)
    if kind == "window":
        ahead, sinks = draw.choice((0, 0, length(draw))), draw.choice((0, 0, 1, length(draw)))
        return Mask.window(length(draw), ahead=ahead, sinks=sinks, align=align)
    if kind == "lengths":
        each = [draw.choice((0, keys, draw.randint(0, keys))) for _ in range(batch)]
        return Mask.lengths(torch.tensor(each))
    if kind == "segments":
        return segments(batch, queries, keys, draw)
    if kind == "blocks":
        block = draw.choice((1, 3, 16, 20, 32, 48, 64, 100, 128, 200, 256, 1000))
        shape = (draw.choice((1, batch)), draw.choice((1, heads)))
        shape += (-(-queries // block), -(-keys // block))
        return Mask.blocks(truth(shape, draw.choice((0.1, 0.5, 0.9)), draw), block=block)
    if kind == "neighbourhood" and queries == keys:
        height = next(n for n in (7, 5, 4, 3, 2, 1) if queries % n == 0)
        return Mask.neighbourhood((height, queries // height), (3, 5))
    if kind == "nothing":
        return Mask.dense(torch.zeros(1, 1, dtype=torch.bool))
    shape = tuple(draw.choice((1, n, n)) for n in size)
    return Mask.dense(truth(shape, draw.choice((0.02, 0.5, 0.98)), draw))


def segments(batch: int, queries: int, keys: int, draw: random.Random) -> Mask:
    """Texts one after the other, or scattered, or cut elsewhere for keys than for queries."""
    count = draw.choice((1, 2, 5))
    generator = torch.Generator().manual_seed(draw.getrandbits(60))
    ids = torch.randint(0, count, (batch, queries), generator=generator)
    others = torch.randint(-1, count, (batch, keys), generator=generator)
    if draw.random() < 0.7:
        ids, others = ids.sort(1).values, others.sort(1).values
    return Mask.segments(ids, others)


def draw_mask(size: tuple[int, int, int, int], draw: random.Random) -> Mask | None:
    parts = draw.choice((0, 1, 1, 1, 2, 2, 3))
    mask: Mask | None = None
    for _ in range(parts):
        part = part_of_mask(size, draw)
        mask = part if mask is None else mask | part if draw.random() < 0.15 else mask & part
    return mask


def draw_bias(size: tuple[int, int, int, int], dtype: torch.dtype, draw: random.Random) -> Any:
    if draw.random() < 0.65:
        return None
    shape = tuple(draw.choice((1, n, n)) for n in size)[draw.choice((0, 0, 1, 3)) :]
    kind = draw.choice((dtype, torch.float32, torch.bfloat16, torch.float64))
    bias = numbers(shape, draw).to(kind)
    return bias.expand(size) if draw.random() < 0.2 else bias


def draw_shape(seed: int, index: int, *, backward_share: float) -> Shape:
    draw = random.Random(f"{seed}-{index}")
    size = sizes(draw)
    heads = size["kv_heads"] * size["group"]
    dtype = draw.choice(DTYPES)
    outer = (size["batch"], heads, size["queries"], size["keys"])
    query, first = laid_out((*outer[:3], size["dim"]), dtype, draw)
    keys = (size["batch"], size["kv_heads"], size["keys"])
    key, second = laid_out((*keys, size["dim"]), dtype, draw)
    value, third = laid_out((*keys, size["value_dim"]), dtype, draw)
    mask = draw_mask(outer, draw)
    bias = draw_bias(outer, dtype, draw)
    scale = draw.choice(SCALES)
    visible = None if mask is None else mask.to_bool(*outer[2:], batch=outer[0], heads=heads)
    visible = torch.tensor(True) if visible is None else visible
    problem = Problem(
        query=query,
        key=key,
        value=value,
        bias=bias,
        visible=visible.expand(outer),
        scale=1 / math.sqrt(size["dim"]) if scale is None else scale,
    )
    if draw.random() < 0.3:
        hide(problem)
    return Shape(
        problem=problem,
        mask=mask,
        scale=scale,
        backward=draw.random() < backward_share,
        threads=draw.choice(THREADS),
        random=draw,
        words=[first, second, third],
    )


def hide(problem: Problem) -> None:
    """Let huge numbers stand where nobody looks."""
    seen = problem.visible.any(2).unflatten(1, (problem.key.shape[1], -1)).any(2)
    for tensor in (problem.key, problem.value):
        if tensor.stride(1) or tensor.shape[1] == 1:  # one number may stand for several heads
            tensor.masked_fill_(~seen[..., None], 6e4)
