"""Which query may see which key: `Mask`, one value object for every mechanism and kernel."""

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heedful.errors import ConfigError, ShapeError

Align = Literal["end", "start"]


class _At(NamedTuple):
    """Where a rule is asked: index tensors that broadcast, and the lengths they run over."""

    batch: Tensor
    head: Tensor
    query: Tensor
    key: Tensor
    queries: int
    keys: int

    def position(self, align: Align) -> Tensor:
        """The key position at which each query stands."""
        return self.query + (self.keys - self.queries if align == "end" else 0)


class Mask(abc.ABC):
    """Which query may see which key. True means: attend.

    Make one with the static methods, combine with `&` and `|`. A mask is a value: frozen, compared
    by content, and free of lengths until it is lowered, so one mask serves every layer of a model.

    Each kind of mask is one rule over index tensors. Dense lowering and FlexAttention's `mask_mod`
    call the same rule, so they cannot disagree.
    """

    # ---- constructors ---------------------------------------------------------------------------

    @staticmethod
    def full() -> "Mask":
        """Every query sees every key."""
        return _FULL

    @staticmethod
    def causal(align: Align = "end") -> "Mask":
        """Nobody sees the future: key `j` is visible to query `i` when `j <= p`.

        Args:
            align: Where query `i` stands. "end": `p = i + keys - queries`, the last query sees the
                last key, as decoding with a cache needs. "start": `p = i`, as
                `scaled_dot_product_attention(is_causal=True)` does.

        Raises:
            ConfigError: `align` is neither "end" nor "start".
        """
        _check_align(align)
        return _Causal(align)

    @staticmethod
    def lengths(lengths: Int[Tensor, " batch"]) -> "Mask":
        """Row `b` of the batch has `lengths[b]` keys; what follows is padding.

        Args:
            lengths: Visible keys per batch row; 0 hides the whole row.

        Raises:
            ShapeError: `lengths` is not 1-D or is empty; on lowering: it has not one entry per
                batch row.
            ConfigError: `lengths` is not an integer tensor or has a negative entry; on lowering:
                an entry exceeds the number of keys.
        """
        _check_integers("lengths", lengths)
        if lengths.ndim != 1 or not len(lengths):
            raise ShapeError(
                "lengths must be 1-D with at least one entry, "
                f"got a tensor of shape {tuple(lengths.shape)}"
            )
        if not _readable(lengths):
            return _Lengths(lengths.long(), None, None)
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < 0:
            raise ConfigError(f"lengths must not be negative, got {shortest}")
        return _Lengths(_own(lengths.long()), shortest, longest)

    @staticmethod
    def window(window: int, *, ahead: int = 0, sinks: int = 0, align: Align = "end") -> "Mask":
        """See the near past and the first keys.

        Query `i` at position `p` sees key `j` when `j <= p + ahead` and
        (`p - j < window` or `j < sinks`).

        Args:
            window: Positions visible behind and including the query. At least 1.
            ahead: Positions visible after the query.
            sinks: Leading positions that stay visible at any distance behind the query.
            align: Where a query stands, as in `Mask.causal`.

        Raises:
            ConfigError: `window < 1`, `ahead < 0`, `sinks < 0` or an unknown `align`.

        Source:
            Beltagy et al. 2020, arXiv:2004.05150 (window).
            Xiao et al. 2023, arXiv:2309.17453 (sinks).
        """
        if window < 1:
            raise ConfigError(f"window must be at least 1, got {window}")
        if ahead < 0:
            raise ConfigError(f"ahead must not be negative, got {ahead}")
        if sinks < 0:
            raise ConfigError(f"sinks must not be negative, got {sinks}")
        _check_align(align)
        return _Window(window, ahead, sinks, align)

    @staticmethod
    def segments(
        query_segments: Int[Tensor, "batch queries"],
        key_segments: Int[Tensor, "batch keys"] | None = None,
    ) -> "Mask":
        """Several texts share one row: a query sees the keys that carry its own id.

        Args:
            query_segments: One id per query.
            key_segments: One id per key. `None` means self-attention: the ids of the queries.

        Raises:
            ShapeError: A tensor is not 2-D or the batch sizes differ; on lowering: not one id per
                position.
            ConfigError: A tensor does not hold integers.
        """
        other = query_segments if key_segments is None else key_segments
        for name, ids in (("query_segments", query_segments), ("key_segments", other)):
            _check_integers(name, ids)
            if ids.ndim != 2:
                raise ShapeError(
                    f"{name} must be 2-D (batch, length), got a tensor of shape {tuple(ids.shape)}"
                )
        if len(query_segments) != len(other):
            raise ShapeError(
                "query_segments and key_segments must have the same batch size, "
                f"got {len(query_segments)} and {len(other)}"
            )
        query_ids = _own(query_segments.long())
        if key_segments is None:
            return _Segments(query_ids, query_ids)
        return _Segments(query_ids, _own(key_segments.long()))

    @staticmethod
    def dense(tensor: Bool[Tensor, "..."]) -> "Mask":
        """Say it for every pair.

        Args:
            tensor: `(queries, keys)` or `(batch, heads, queries, keys)`; an axis of size 1
                stands for all.

        Raises:
            ShapeError: `tensor` has neither 2 nor 4 axes; on lowering: an axis does not fit.
            ConfigError: `tensor` is not boolean.
        """
        _check_bool("tensor", tensor)
        if tensor.ndim not in (2, 4):
            raise ShapeError(
                "tensor must be 2-D (queries, keys) or 4-D (batch, heads, queries, keys), "
                f"got a tensor of shape {tuple(tensor.shape)}"
            )
        tensor = tensor[None, None] if tensor.ndim == 2 else tensor
        return _Dense(_own(tensor))

    @staticmethod
    def blocks(
        blocks: Bool[Tensor, "batch heads query_blocks key_blocks"], *, block: int
    ) -> "Mask":
        """Say it for every block of `block x block` pairs.

        Args:
            blocks: Which block of queries sees which block of keys; batch and heads of size 1
                stand for all. The last block of an axis may be cut short.
            block: Positions per block.

        Raises:
            ShapeError: `blocks` is not 4-D; on lowering: the blocks do not cover the lengths.
            ConfigError: `blocks` is not boolean or `block < 1`.
        """
        _check_bool("blocks", blocks)
        if blocks.ndim != 4:
            raise ShapeError(
                "blocks must be 4-D (batch, heads, query_blocks, key_blocks), "
                f"got a tensor of shape {tuple(blocks.shape)}"
            )
        if block < 1:
            raise ConfigError(f"block must be at least 1, got {block}")
        return _Blocks(_own(blocks), block)

    # ---- algebra --------------------------------------------------------------------------------

    def __and__(self, other: "Mask") -> "Mask":
        """Visible where both masks say so."""
        if isinstance(self, _Full):
            return other
        if isinstance(other, _Full):
            return self
        return _All(
            (self.parts if isinstance(self, _All) else (self,))
            + (other.parts if isinstance(other, _All) else (other,))
        )

    def __or__(self, other: "Mask") -> "Mask":
        """Visible where at least one mask says so."""
        if isinstance(self, _Full) or isinstance(other, _Full):
            return _FULL
        return _Any(
            (self.parts if isinstance(self, _Any) else (self,))
            + (other.parts if isinstance(other, _Any) else (other,))
        )

    def select(self, rows: Tensor) -> "Mask":
        """The mask of the chosen batch rows, in that order; a row may be chosen several times.

        Args:
            rows: 1-D: row numbers, or one boolean per row.

        Raises:
            ShapeError: `rows` is not 1-D, chooses nothing, or is boolean with another batch size.
            ConfigError: `rows` holds neither integers nor booleans, or a row that does not exist.
        """
        if rows.dtype != torch.bool:
            _check_integers("rows", rows)
        if rows.ndim != 1:
            raise ShapeError(f"rows must be 1-D, got a tensor of shape {tuple(rows.shape)}")
        return self._select(rows)

    def to(self, device: torch.device | str) -> "Mask":
        """The same mask with its tensors on `device`."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device)

        return self._map(move)

    # ---- lowerings ------------------------------------------------------------------------------

    def to_bool(
        self,
        queries: int,
        keys: int,
        *,
        batch: int = 1,
        heads: int = 1,
        device: torch.device | str | None = None,
    ) -> Bool[Tensor, "#batch #heads #queries #keys"] | None:
        """Lower to a boolean tensor, True = attend.

        Args:
            queries: Number of queries.
            keys: Number of keys.
            batch: Rows of the batch.
            heads: Query heads.
            device: Where the result lives. `None` means: where the mask's tensors are.

        Returns:
            A 4-D tensor in which an axis that the mask does not depend on has size 1, or `None`
            when every query is known to see every key.

        Raises:
            ShapeError: A tensor of the mask does not fit these sizes.
            ConfigError: A length of `Mask.lengths` exceeds `keys`.

        Cost:
            One byte per entry of the result; nothing is expanded to `batch x heads` without need.
        """
        self._check_sizes(batch, heads, queries, keys)
        mask = self.within(queries, keys)
        if isinstance(mask, _Full):
            return None
        device = mask._device() if device is None else torch.device(device)
        visible = mask.to(device)._rule(_grid(batch, heads, queries, keys, device))
        return visible[(None,) * (4 - visible.ndim)]

    def to_additive(
        self,
        queries: int,
        keys: int,
        *,
        dtype: torch.dtype,
        batch: int = 1,
        heads: int = 1,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "#batch #heads #queries #keys"] | None:
        """Lower to a tensor that is added to the scores: 0 where visible, -inf where hidden.

        Args:
            queries: Number of queries.
            keys: Number of keys.
            dtype: Floating-point type of the result.
            batch: Rows of the batch.
            heads: Query heads.
            device: Where the result lives. `None` means: where the mask's tensors are.

        Returns:
            As `to_bool`, in `dtype`.

        Raises:
            ShapeError: A tensor of the mask does not fit these sizes.
            ConfigError: `dtype` is not floating-point, or a length exceeds `keys`.
        """
        if not dtype.is_floating_point:
            raise ConfigError(f"dtype must be floating-point, got {dtype}")
        visible = self.to_bool(queries, keys, batch=batch, heads=heads, device=device)
        if visible is None:
            return None
        zero = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return zero.masked_fill(~visible, float("-inf"))

    def to_block_mask(
        self,
        queries: int,
        keys: int,
        *,
        batch: int,
        heads: int,
        device: torch.device | str,
        block_size: int = 128,
    ) -> Any:  # torch's BlockMask; its module is heavy, so it is imported when asked for
        """Lower to a `torch.nn.attention.flex_attention.BlockMask`.

        Args:
            queries: Number of queries.
            keys: Number of keys.
            batch: Rows of the batch.
            heads: Query heads.
            device: Where the result lives.
            block_size: Positions per block of FlexAttention.

        Returns:
            The block mask; batch or heads have size 1 when the mask does not depend on them.

        Raises:
            ShapeError: A tensor of the mask does not fit these sizes.
            ConfigError: `block_size < 1`, or a length exceeds `keys`.

        Cost:
            FlexAttention evaluates the rule for every pair once to find the empty blocks.
        """
        from torch.nn.attention.flex_attention import create_block_mask

        if block_size < 1:
            raise ConfigError(f"block_size must be at least 1, got {block_size}")
        self._check_sizes(batch, heads, queries, keys)
        device = torch.device(device)
        mask = self.within(queries, keys).to(device)
        corner = _grid(batch, heads, 1, 1, device)._replace(queries=queries, keys=keys)
        shape = (1, 1, 1, 1, *mask._rule(corner).shape)  # tells what the rule depends on

        # A lambda, because FlexAttention counts parameters, which a type-checking wrapper hides.
        return create_block_mask(
            lambda b, h, q, k: mask._rule(_At(b, h, q, k, queries, keys)),
            shape[-4],
            shape[-3],
            queries,
            keys,
            str(device),
            block_size,
        )

    def within(self, queries: int, keys: int) -> "Mask":
        """The same mask at these lengths, without the parts that hide nothing there.

        A causal mask with one query is full; a window wider than the text is causal.
        """
        return self

    def is_causal(self, queries: int, keys: int) -> bool:
        """Is the mask, at these lengths, nothing but the square lower triangle?

        Then, and only then, a kernel's own causal switch may stand in for it.
        """
        return queries == keys and isinstance(self.within(queries, keys), _Causal)

    # ---- what each kind of mask says ------------------------------------------------------------

    @abc.abstractmethod
    def _rule(self, at: _At) -> Tensor:
        """Visible or not, for index tensors that broadcast against each other."""

    def _check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        """Raise when a tensor of this mask does not fit."""
        return  # most masks hold no tensor

    def _select(self, rows: Tensor) -> "Mask":
        return self

    # ---- a value --------------------------------------------------------------------------------

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # pyright: ignore[reportArgumentType]

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Mask":
        """A copy with every tensor changed."""
        values = (change(x) if isinstance(x, Tensor) else x for x in self._fields())
        return type(self)(*values)

    def _device(self) -> torch.device:
        tensors = (x for x in self._fields() if isinstance(x, Tensor))
        return next((x.device for x in tensors), torch.device("cpu"))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Mask):
            return NotImplemented
        return all(_same(a, b) for a, b in zip(self._fields(), other._fields(), strict=True))

    def __hash__(self) -> int:
        # Tensors count by shape: equal masks hash alike, and hashing never waits for a GPU.
        return hash(
            (type(self), *(x.shape if isinstance(x, Tensor) else x for x in self._fields()))
        )


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Full(Mask):
    def _rule(self, at: _At) -> Tensor:
        return at.query.new_ones((), dtype=torch.bool)

    def __repr__(self) -> str:
        return "Mask.full()"


_FULL = _Full()


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Causal(Mask):
    align: Align

    def _rule(self, at: _At) -> Tensor:
        return at.key <= at.position(self.align)

    def within(self, queries: int, keys: int) -> Mask:
        first = keys - queries if self.align == "end" else 0  # position of the first query
        return _FULL if keys - 1 <= first else self

    def __repr__(self) -> str:
        return "Mask.causal()" if self.align == "end" else f"Mask.causal(align={self.align!r})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Window(Mask):
    size: int
    ahead: int
    sinks: int
    align: Align

    def _rule(self, at: _At) -> Tensor:
        position = at.position(self.align)
        near = position - at.key < self.size
        return (at.key <= position + self.ahead) & (near | (at.key < self.sinks))

    def within(self, queries: int, keys: int) -> Mask:
        first = keys - queries if self.align == "end" else 0
        last = first + queries - 1
        if last >= self.size and self.sinks < keys:
            return self
        if keys - 1 <= first + self.ahead:
            return _FULL
        return _Causal(self.align) if self.ahead == 0 else self

    def __repr__(self) -> str:
        extra = "".join(f", {name}={getattr(self, name)}" for name in ("ahead", "sinks"))
        return f"Mask.window({self.size}{extra}, align={self.align!r})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Lengths(Mask):
    values: Tensor
    shortest: int | None  # None: not known, because the graph is being compiled or exported
    longest: int | None

    def _rule(self, at: _At) -> Tensor:
        return at.key < self.values[at.batch]

    def within(self, queries: int, keys: int) -> Mask:
        return _FULL if self.shortest is not None and self.shortest >= keys else self

    def _check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        if len(self.values) != batch:
            raise ShapeError(
                f"lengths must have one entry per batch row, got {len(self.values)} for {batch=}"
            )
        if self.longest is not None and self.longest > keys:
            raise ConfigError(f"lengths must not exceed keys, got {self.longest} for {keys=}")

    def _select(self, rows: Tensor) -> Mask:
        return Mask.lengths(_take(self.values, rows))

    def __repr__(self) -> str:
        return f"Mask.lengths({_show(self.values)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Segments(Mask):
    query_ids: Tensor
    key_ids: Tensor

    def _rule(self, at: _At) -> Tensor:
        return self.query_ids[at.batch, at.query] == self.key_ids[at.batch, at.key]

    def _check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        for name, ids, axis, length in (
            ("query_segments", self.query_ids, "queries", queries),
            ("key_segments", self.key_ids, "keys", keys),
        ):
            if tuple(ids.shape) != (batch, length):
                raise ShapeError(
                    f"{name} must be (batch, {axis}), "
                    f"got {tuple(ids.shape)} for {batch=}, {axis}={length}"
                )

    def _select(self, rows: Tensor) -> Mask:
        return _Segments(_take(self.query_ids, rows), _take(self.key_ids, rows))

    def __repr__(self) -> str:
        return f"Mask.segments({_show(self.query_ids)}, {_show(self.key_ids)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Dense(Mask):
    tensor: Tensor

    def _rule(self, at: _At) -> Tensor:
        return _look_up(self.tensor, (at.batch, at.head, at.query, at.key))

    def within(self, queries: int, keys: int) -> Mask:
        return _FULL if _known_true(self.tensor) else self

    def _check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        names = ("batch", "heads", "queries", "keys")
        for name, got, need in zip(
            names, self.tensor.shape, (batch, heads, queries, keys), strict=True
        ):
            if got not in (1, need):
                raise ShapeError(
                    f"tensor must have 1 or {name}={need} entries on its {name} axis, "
                    f"got shape {tuple(self.tensor.shape)}"
                )

    def _select(self, rows: Tensor) -> Mask:
        return self if len(self.tensor) == 1 else _Dense(_take(self.tensor, rows))

    def __repr__(self) -> str:
        return f"Mask.dense({_show(self.tensor)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Blocks(Mask):
    grid: Tensor
    block: int

    def _rule(self, at: _At) -> Tensor:
        query_block, key_block = at.query // self.block, at.key // self.block
        return _look_up(self.grid, (at.batch, at.head, query_block, key_block))

    def within(self, queries: int, keys: int) -> Mask:
        return _FULL if _known_true(self.grid) else self

    def _check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
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

    def _select(self, rows: Tensor) -> Mask:
        return self if len(self.grid) == 1 else _Blocks(_take(self.grid, rows), self.block)

    def __repr__(self) -> str:
        return f"Mask.blocks({_show(self.grid)}, block={self.block})"


class _Several(Mask):
    """Masks combined: what `&` and `|` share."""

    parts: tuple[Mask, ...]

    def _check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        for part in self.parts:
            part._check_sizes(batch, heads, queries, keys)

    def _select(self, rows: Tensor) -> Mask:
        return type(self)(tuple(part._select(rows) for part in self.parts))  # pyright: ignore[reportCallIssue]

    def _map(self, change: Callable[[Tensor], Tensor]) -> Mask:
        return type(self)(tuple(part._map(change) for part in self.parts))  # pyright: ignore[reportCallIssue]

    def _device(self) -> torch.device:
        for part in self.parts:
            if part._device().type != "cpu":
                return part._device()
        return torch.device("cpu")

    def _joined(self, sign: str) -> str:
        return f" {sign} ".join(
            f"({part!r})" if isinstance(part, _Several) else repr(part) for part in self.parts
        )


@final
@dataclass(frozen=True, eq=False, repr=False)
class _All(_Several):
    parts: tuple[Mask, ...]

    def _rule(self, at: _At) -> Tensor:
        visible = self.parts[0]._rule(at)
        for part in self.parts[1:]:
            visible = visible & part._rule(at)
        return visible

    def within(self, queries: int, keys: int) -> Mask:
        mask: Mask = _FULL
        for part in self.parts:
            mask = mask & part.within(queries, keys)
        return mask

    def __repr__(self) -> str:
        return self._joined("&")


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Any(_Several):
    parts: tuple[Mask, ...]

    def _rule(self, at: _At) -> Tensor:
        visible = self.parts[0]._rule(at)
        for part in self.parts[1:]:
            visible = visible | part._rule(at)
        return visible

    def within(self, queries: int, keys: int) -> Mask:
        parts = [part.within(queries, keys) for part in self.parts]
        return _FULL if _FULL in parts else _Any(tuple(parts))

    def __repr__(self) -> str:
        return self._joined("|")


# ---- index arithmetic and checks ----------------------------------------------------------------


def _grid(batch: int, heads: int, queries: int, keys: int, device: torch.device) -> _At:
    sizes = (batch, heads, queries, keys)
    axes = [torch.arange(size, device=device) for size in sizes]
    spread = [x.view([-1 if i == axis else 1 for i in range(4)]) for axis, x in enumerate(axes)]
    return _At(spread[0], spread[1], spread[2], spread[3], queries, keys)


def _look_up(tensor: Tensor, index: tuple[Tensor, ...]) -> Tensor:
    """`tensor[index]`, where an axis of size 1 stands for every index."""
    return tensor[tuple(0 if n == 1 else i for n, i in zip(tensor.shape, index, strict=True))]


def _take(tensor: Tensor, rows: Tensor) -> Tensor:
    count = len(tensor)
    rows = rows.to(tensor.device)
    if rows.dtype == torch.bool:
        if len(rows) != count:
            raise ShapeError(
                f"rows must have one boolean per batch row, got {len(rows)} for {count}"
            )
        rows = rows.nonzero()[:, 0]
    if not len(rows):
        raise ShapeError("rows must choose at least one batch row, got none")
    if _readable(rows) and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise ConfigError(f"rows must be in 0 to {count - 1}, got {rows.tolist()}")
    return tensor[rows]


def _readable(tensor: Tensor) -> bool:
    """May values be looked at? Not while compiling or exporting, where there are none yet."""
    return not (torch.compiler.is_compiling() or tensor.is_meta)


def _known_true(tensor: Tensor) -> bool:
    # On a GPU the answer would make the CPU wait for it, in every layer.
    return tensor.device.type == "cpu" and _readable(tensor) and bool(tensor.all())


def _own(tensor: Tensor) -> Tensor:
    """A private copy, so that a caller's in-place change cannot alter a mask."""
    return tensor.detach().clone()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a.cpu(), b.cpu())
    return bool(a == b)


def _show(tensor: Tensor) -> str:
    return str(tensor.tolist()) if tensor.numel() <= 16 else f"<{tuple(tensor.shape)}>"


def _check_align(align: str) -> None:
    if align not in get_args(Align):
        raise ConfigError(f"align must be 'end' or 'start', got {align!r}")


def _check_integers(name: str, tensor: Tensor) -> None:
    if tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex():
        raise ConfigError(f"{name} must hold integers, got {tensor.dtype}")


def _check_bool(name: str, tensor: Tensor) -> None:
    if tensor.dtype != torch.bool:
        raise ConfigError(f"{name} must be boolean (True = attend), got {tensor.dtype}")
