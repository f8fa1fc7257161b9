"""The kinds of masks, each with its one rule."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask._base import Align, At, Rule
from heedful.mask._tensors import known_true, look_up, own, readable, show, take


@final
@dataclass(frozen=True, eq=False, repr=False)
class Full(Rule):
    def visible(self, at: At) -> Tensor:
        return at.query.new_ones((), dtype=torch.bool)

    def __repr__(self) -> str:
        return "Mask.full()"


FULL = Full()


@final
@dataclass(frozen=True, eq=False, repr=False)
class Causal(Rule):
    align: Align

    def visible(self, at: At) -> Tensor:
        return at.key <= at.position(self.align)

    def within(self, queries: int, keys: int) -> Rule:
        first = keys - queries if self.align == "end" else 0  # position of the first query
        return FULL if keys - 1 <= first else self

    def __repr__(self) -> str:
        return "Mask.causal()" if self.align == "end" else f"Mask.causal(align={self.align!r})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Anticausal(Rule):
    align: Align

    def visible(self, at: At) -> Tensor:
        return at.key >= at.position(self.align)

    def within(self, queries: int, keys: int) -> Rule:
        last = (keys if self.align == "end" else queries) - 1  # position of the last query
        return FULL if last <= 0 else self

    def __repr__(self) -> str:
        extra = "" if self.align == "end" else f"align={self.align!r}"
        return f"Mask.anticausal({extra})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Window(Rule):
    size: int
    ahead: int
    sinks: int
    align: Align

    def visible(self, at: At) -> Tensor:
        position = at.position(self.align)
        near = position - at.key < self.size
        return (at.key <= position + self.ahead) & (near | (at.key < self.sinks))

    def within(self, queries: int, keys: int) -> Rule:
        first = keys - queries if self.align == "end" else 0
        last = first + queries - 1
        if last >= self.size and self.sinks < keys:
            return self
        if keys - 1 <= first + self.ahead:
            return FULL
        return Causal(self.align) if self.ahead == 0 else self

    def __repr__(self) -> str:
        extra = "".join(f", {name}={getattr(self, name)}" for name in ("ahead", "sinks"))
        return f"Mask.window({self.size}{extra}, align={self.align!r})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Neighbourhood(Rule):
    shape: tuple[int, ...]
    window: tuple[int, ...]

    def visible(self, at: At) -> Tensor:
        visible = at.query.new_ones((), dtype=torch.bool)
        stride = math.prod(self.shape)
        for size, window in zip(self.shape, self.window, strict=True):
            stride //= size
            query, key = at.query // stride % size, at.key // stride % size
            first = (query - window // 2).clamp(0, max(size - window, 0))
            visible = visible & (first <= key) & (key < first + window)
        return visible

    def within(self, queries: int, keys: int) -> Rule:
        narrow = any(w < size for w, size in zip(self.window, self.shape, strict=True))
        return self if narrow else FULL

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        places = math.prod(self.shape)
        if queries != places or keys != places:
            raise ShapeError(
                f"a grid of shape {self.shape} must have {places} queries and keys, "
                f"got {queries=}, {keys=}"
            )

    def __repr__(self) -> str:
        return f"Mask.neighbourhood({self.shape}, {self.window})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Lengths(Rule):
    values: Tensor
    shortest: int | None  # None: not known, because the graph is being compiled or exported
    longest: int | None

    @classmethod
    def of(cls, values: Tensor) -> "Lengths":
        """Note the extremes, unless values cannot be read; refuse a negative one."""
        if not readable(values):
            return cls(values.long(), None, None)
        shortest, longest = int(values.min()), int(values.max())
        if shortest < 0:
            raise ConfigError(f"lengths must not be negative, got {shortest}")
        return cls(own(values.long()), shortest, longest)

    def visible(self, at: At) -> Tensor:
        return at.key < self.values[at.batch]

    def within(self, queries: int, keys: int) -> Rule:
        return FULL if self.shortest is not None and self.shortest >= keys else self

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        count = self.values.shape[0]
        if count != batch:
            raise ShapeError(f"lengths must have one entry per batch row, got {count} for {batch=}")
        if self.longest is not None and self.longest > keys:
            raise ConfigError(f"lengths must not exceed keys, got {self.longest} for {keys=}")

    def select(self, rows: Tensor) -> Rule:
        return Lengths.of(take(self.values, rows))

    def __repr__(self) -> str:
        return f"Mask.lengths({show(self.values)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Segments(Rule):
    query_ids: Tensor
    key_ids: Tensor

    @classmethod
    def of(cls, query_segments: Tensor, key_segments: Tensor | None) -> "Segments":
        """Own both; without key segments, the keys carry the ids of the queries."""
        query_ids = own(query_segments.long())
        return cls(query_ids, query_ids if key_segments is None else own(key_segments.long()))

    def visible(self, at: At) -> Tensor:
        return self.query_ids[at.batch, at.query] == self.key_ids[at.batch, at.key]

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        for name, ids, axis, length in (
            ("query_segments", self.query_ids, "queries", queries),
            ("key_segments", self.key_ids, "keys", keys),
        ):
            if tuple(ids.shape) != (batch, length):
                raise ShapeError(
                    f"{name} must be (batch, {axis}), "
                    f"got {tuple(ids.shape)} for {batch=}, {axis}={length}"
                )

    def select(self, rows: Tensor) -> Rule:
        return Segments(take(self.query_ids, rows), take(self.key_ids, rows))

    def __repr__(self) -> str:
        return f"Mask.segments({show(self.query_ids)}, {show(self.key_ids)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Dense(Rule):
    tensor: Tensor

    def visible(self, at: At) -> Tensor:
        return look_up(self.tensor, (at.batch, at.head, at.query, at.key))

    def within(self, queries: int, keys: int) -> Rule:
        return FULL if known_true(self.tensor) else self

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        names = ("batch", "heads", "queries", "keys")
        for name, got, need in zip(
            names, self.tensor.shape, (batch, heads, queries, keys), strict=True
        ):
            if got not in (1, need):
                raise ShapeError(
                    f"tensor must have 1 or {name}={need} entries on its {name} axis, "
                    f"got shape {tuple(self.tensor.shape)}"
                )

    def select(self, rows: Tensor) -> Rule:
        return self if self.tensor.shape[0] == 1 else Dense(take(self.tensor, rows))

    def __repr__(self) -> str:
        return f"Mask.dense({show(self.tensor)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Blocks(Rule):
    grid: Tensor
    block: int

    def visible(self, at: At) -> Tensor:
        query_block, key_block = at.query // self.block, at.key // self.block
        return look_up(self.grid, (at.batch, at.head, query_block, key_block))

    def within(self, queries: int, keys: int) -> Rule:
        return FULL if known_true(self.grid) else self

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        for name, got, need in zip(
            ("batch", "heads"), self.grid.shape[:2], (batch, heads), strict=True
        ):
            if got not in (1, need):
                raise ShapeError(
                    f"blocks must have 1 or {name}={need} entries on its {name} axis, "
                    f"got shape {tuple(self.grid.shape)}"
                )
        need = (-(-queries // self.block), -(-keys // self.block))
        if tuple(self.grid.shape[2:]) != need:
            raise ShapeError(
                f"blocks must cover {queries=} and {keys=} with {need[0]} x {need[1]} blocks "
                f"of {self.block}, got shape {tuple(self.grid.shape)}"
            )

    def select(self, rows: Tensor) -> Rule:
        return self if self.grid.shape[0] == 1 else Blocks(take(self.grid, rows), self.block)

    def __repr__(self) -> str:
        return f"Mask.blocks({show(self.grid)}, block={self.block})"
