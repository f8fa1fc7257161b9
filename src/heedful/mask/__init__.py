"""Which query may see which key: `Mask`, one value object for every mechanism and kernel."""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heedful.mask._base import Align as Align
from heedful.mask._base import At, Rule
from heedful.mask._combined import both, either
from heedful.mask._cut import Cut, Whole
from heedful.mask._factors import Factors as Factors
from heedful.mask._factors import factors
from heedful.mask._lower import to_additive, to_block_mask, to_bool
from heedful.mask._pattern import Pattern as Pattern
from heedful.mask._pattern import pattern
from heedful.mask._rules import (
    FULL,
    Anticausal,
    Blocks,
    Causal,
    Dense,
    Lengths,
    Neighbourhood,
    Segments,
    Window,
)
from heedful.mask._seen import seen
from heedful.mask._tensors import own
from heedful.mask._validation import (
    check_align,
    check_blocks,
    check_dense,
    check_lengths,
    check_neighbourhood,
    check_rows,
    check_rule,
    check_segments,
    check_window,
    rule_of,
)


@final
@dataclass(frozen=True, repr=False)
class Mask:
    """Which query may see which key. True means: attend.

    Make one with the static methods, combine with `&` and `|`. A mask is a value: frozen, compared
    by content, and free of lengths until it is lowered, so one mask serves every layer of a model.

    Each kind of mask is one rule over index tensors. Dense lowering and FlexAttention's `mask_mod`
    call the same rule, so they cannot disagree.
    """

    _rule: Rule

    def __post_init__(self) -> None:
        check_rule(self._rule)

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
        check_align(align)
        return Mask(Causal(align))

    @staticmethod
    def anticausal(align: Align = "end") -> "Mask":
        """Nobody sees the past: key `j` is visible to query `i` when `j >= p`.

        With `Mask.causal` it gives the two directions of attention that is bidirectional but knows
        about order. Unlike in the paper a query sees itself.

        Args:
            align: Where query `i` stands, as in `Mask.causal`.

        Raises:
            ConfigError: `align` is neither "end" nor "start".

        Source:
            Shen et al. 2017, arXiv:1709.04696 (backward mask).
        """
        check_align(align)
        return Mask(Anticausal(align))

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
        check_lengths(lengths)
        return Mask(Lengths.of(lengths))

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
        check_window(window, ahead, sinks, align)
        return Mask(Window(window, ahead, sinks, align))

    @staticmethod
    def neighbourhood(shape: tuple[int, ...], window: tuple[int, ...]) -> "Mask":
        """See the nearest places of a grid, of which queries and keys are the rows in turn.

        On every axis a query at `x` sees the places from `clamp(x - window // 2, 0, size - window)`
        on, `window` of them: at a border the window does not shrink but shifts inwards, so that
        every query sees equally many keys. An axis shorter than its window is seen as a whole;
        NATTEN refuses that.

        Args:
            shape: Size of each axis of the grid; the last one runs fastest.
            window: Visible places on each axis, the query's own in the middle. Odd.

        Raises:
            ShapeError: On lowering: there are not `prod(shape)` queries and as many keys.
            ConfigError: An axis is below 1, or `window` has not one odd size per axis.

        Source:
            Hassani et al. 2022, arXiv:2204.07143.
        """
        shape, window = tuple(shape), tuple(window)
        check_neighbourhood(shape, window)
        return Mask(Neighbourhood(shape, window))

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
        check_segments(query_segments, key_segments)
        return Mask(Segments.of(query_segments, key_segments))

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
        check_dense(tensor)
        return Mask(Dense(own(tensor[None, None] if tensor.ndim == 2 else tensor)))

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
        check_blocks(blocks, block)
        return Mask(Blocks(own(blocks), block))

    # ---- algebra --------------------------------------------------------------------------------

    def __and__(self, other: "Mask") -> "Mask":
        """Visible where both masks say so."""
        return self._holding(both(self._rule, rule_of(other)), other)

    def __or__(self, other: "Mask") -> "Mask":
        """Visible where at least one mask says so."""
        return self._holding(either(self._rule, rule_of(other)), other)

    def select(self, rows: Tensor) -> "Mask":
        """The mask of the chosen batch rows, in that order; a row may be chosen several times.

        Args:
            rows: 1-D: row numbers, or one boolean per row.

        Raises:
            ShapeError: `rows` is not 1-D, chooses nothing, or is boolean with another batch size.
            ConfigError: `rows` holds neither integers nor booleans, or a row that does not exist.
        """
        check_rows(rows)
        return self._holding(self._rule.select(rows))

    def cut(
        self, *, heads: range, queries: range, keys: range, whole: tuple[int, int, int]
    ) -> "Mask":
        """The mask of a part of a text, which asks for places in the whole.

        Args:
            heads: Query heads of the part; ranges have no steps.
            queries: Its queries.
            keys: Its keys.
            whole: Heads, queries and keys of the text.

        Raises:
            ShapeError: On lowering: a tensor of the mask does not fit the whole, or the part does
                not lie in it.
        """
        if self._rule is FULL:
            return self
        first = Whole(heads.start, queries.start, keys.start)
        return Mask(Cut(self._rule, first, Whole(*whole)))

    def to(self, device: torch.device | str) -> "Mask":
        """The same mask with its tensors on `device`."""
        return Mask(self._rule.to(device))

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
        return to_bool(self._rule, (batch, heads, queries, keys), device)

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
        return to_additive(self._rule, (batch, heads, queries, keys), device, dtype)

    def to_block_mask(
        self,
        queries: int,
        keys: int,
        *,
        batch: int,
        heads: int,
        device: torch.device | str,
        block_size: int = 128,
    ) -> Any:  # torch's BlockMask
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
        return to_block_mask(self._rule, (batch, heads, queries, keys), device, block_size)

    def factors(
        self,
        queries: int,
        keys: int,
        *,
        batch: int = 1,
        heads: int = 1,
        device: torch.device | str | None = None,
    ) -> Factors | None:
        """Split the mask into an order of time and a choice of keys.

        Args:
            queries: Number of queries.
            keys: Number of keys.
            batch: Rows of the batch.
            heads: Query heads.
            device: Where the result lives. `None` means: where the mask's tensors are.

        Returns:
            The two, which together say what the mask says; `None` when it says something else,
            such as a window or segments.

        Raises:
            ShapeError: A tensor of the mask does not fit these sizes.
            ConfigError: A length of `Mask.lengths` exceeds `keys`.

        Cost:
            One byte per key; nothing of size `queries x keys` is made.
        """
        return factors(self._rule, (batch, heads, queries, keys), device)

    def pattern(self, queries: int, keys: int, *, batch: int, heads: int) -> Pattern:
        """Take the mask apart into what a kernel can skip: a band, lengths, segments, a grid.

        Args:
            queries: Number of queries.
            keys: Number of keys.
            batch: Rows of the batch.
            heads: Query heads.

        Returns:
            The parts, which together say what the mask says; its tensors are where the mask's are.

        Raises:
            ShapeError: A tensor of the mask does not fit these sizes.
            ConfigError: A length of `Mask.lengths` exceeds `keys`.

        Cost:
            Nothing, unless something fits no part (`|`, a neighbourhood, a second grid): that alone
            is lowered as by `to_bool`.
        """
        return pattern(self._rule, (batch, heads, queries, keys))

    def at(
        self, batch: Tensor, head: Tensor, query: Tensor, key: Tensor, *, queries: int, keys: int
    ) -> Bool[Tensor, "..."]:
        """Look the mask up at chosen places, for mechanisms that visit some pairs only.

        Args:
            batch: Batch rows; the four index tensors broadcast against each other.
            head: Query heads.
            query: Positions of queries, below `queries`.
            key: Positions of keys, below `keys`.
            queries: Number of queries.
            keys: Number of keys.

        Returns:
            True = attend, in a shape that broadcasts to that of the four together.

        Cost:
            What the result takes; nothing of size `queries x keys` is made. Sizes are not checked:
            call `check` once before.
        """
        return self._rule.to(key.device).visible(At(batch, head, query, key, queries, keys))

    def seen(
        self,
        queries: int,
        keys: int,
        *,
        batch: int = 1,
        heads: int = 1,
        device: torch.device | str | None = None,
    ) -> Bool[Tensor, "#batch #heads #keys"] | None:
        """Tell which keys any query sees.

        Args:
            queries: Number of queries.
            keys: Number of keys.
            batch: Rows of the batch.
            heads: Query heads.
            device: Where the result lives. `None` means: where the mask's tensors are.

        Returns:
            A tensor in which an axis that the mask does not depend on has size 1, or `None` when
            every key is known to be seen.

        Raises:
            ShapeError: A tensor of the mask does not fit these sizes.
            ConfigError: A length of `Mask.lengths` exceeds `keys`.

        Cost:
            Grows with the lengths for `lengths`, for `segments` alone, and for bands with one grid
            of blocks at most; elsewhere every pair is looked at, some at a time.
        """
        return seen(self._rule, (batch, heads, queries, keys), device)

    def check(self, queries: int, keys: int, *, batch: int, heads: int) -> None:
        """Raise when a tensor of the mask does not fit these sizes.

        Raises:
            ShapeError: A tensor of the mask does not fit.
            ConfigError: A length of `Mask.lengths` exceeds `keys`.
        """
        self._rule.check_sizes(batch, heads, queries, keys)

    def within(self, queries: int, keys: int) -> "Mask":
        """The same mask at these lengths, without the parts that hide nothing there.

        A causal mask with one query is full; a window wider than the text is causal.
        """
        return self._holding(self._rule.within(queries, keys))

    def is_causal(self, queries: int, keys: int) -> bool:
        """Is the mask, at these lengths, nothing but the square lower triangle?

        Then, and only then, a kernel's own causal switch may stand in for it.
        """
        return queries == keys and isinstance(self._rule.within(queries, keys), Causal)

    def _holding(self, rule: Rule, *others: "Mask") -> "Mask":
        """The mask of a rule, and no new one where this, another or the full one holds it."""
        for mask in (self, *others, _FULL):
            if mask._rule is rule:
                return mask
        return Mask(rule)

    def __repr__(self) -> str:
        return repr(self._rule)


_FULL = Mask(FULL)
