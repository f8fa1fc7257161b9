"""Which cell of queries sees which cell of keys: a mask at a coarser resolution."""

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.mask import Mask, Pattern
from heedful.selection._cells import Cells


@dataclass(frozen=True)
class Sight:
    """A cell of queries sees a cell of keys where any of its pairs is visible.

    Exact for a band (causal, window, sinks) together with lengths, and for each other part of a
    mask alone. Where several parts hide something of the same two cells, each something else, the
    cells may count as visible although no pair is.
    """

    queries: Cells
    keys: Cells
    pattern: Pattern
    device: torch.device
    members: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, mask: Mask | None, query: Tensor, key: Tensor, width: int) -> "Sight":
        """The sight of cells of this width, for these tensors.

        Raises:
            ShapeError: A tensor of the mask does not fit.
            ConfigError: A length of the mask exceeds the number of keys.
        """
        (batch, heads, queries, _), keys, device = query.shape, key.shape[2], query.device
        pattern = Pattern()
        if mask is not None:
            pattern = mask.to(device).pattern(queries, keys, batch=batch, heads=heads)
        cells = Cells(queries, width), Cells(keys, width)
        return cls(*cells, pattern, device, _members(pattern, *cells))

    def columns(self, rows: slice) -> slice:
        """The cells of keys beyond which these cells of queries see nothing, by the band alone."""
        low, high, sinks, *_ = self.pattern
        width, count = self.keys.width, self.keys.count
        start = 0 if sinks else max(0, self.queries.stop(rows.start) + low) // width
        stop = max(0, (self.queries.stop(rows.stop) - 1 + high) // width + 1)
        return slice(min(start, count), min(stop, count))

    def visible(self, rows: slice, columns: slice) -> Tensor | None:
        """Broadcasts to `(batch, heads, rows, columns)`; `None`: all of it is visible."""
        parts = (
            self._by_place(rows, columns),
            self._by_segment(rows, columns),
            self._by_table(self.pattern.grid, self.pattern.block, rows, columns),
            self._by_table(self.pattern.dense, 1, rows, columns),
        )
        visible: Tensor | None = None
        for part in parts:
            if part is not None:
                visible = part if visible is None else visible & part
        return None if visible is None else visible[(None,) * (4 - visible.ndim)]

    def _by_place(self, rows: slice, columns: slice) -> Tensor | None:
        low, high, sinks, lengths, *_ = self.pattern
        nearest = (columns.stop - 1) * self.keys.width - self.queries.stop(rows.start)
        furthest = self.keys.stop(columns.start + 1) - self.queries.stop(rows.stop)
        if lengths is None and nearest <= high and furthest >= low:
            return None
        first_query = self.queries.first(rows, self.device)[:, None]
        last_query = self.queries.last(rows, self.device)[:, None]
        first_key, last_key = (f(columns, self.device) for f in (self.keys.first, self.keys.last))
        if lengths is not None:
            last_key = torch.minimum(last_key, lengths[:, None, None, None] - 1)
        near = last_key - first_query >= low
        if low > high:
            near = torch.zeros_like(near)
        return (
            (first_key <= last_key)
            & (first_key - last_query <= high)
            & (near | (first_key < sinks))
        )

    def _by_segment(self, rows: slice, columns: slice) -> Tensor | None:
        if self.members is None:
            return None
        query, key = self.members
        return (query[:, rows] @ key[:, columns].mT > 0)[:, None]

    def _by_table(
        self, table: Tensor | None, block: int, rows: slice, columns: slice
    ) -> Tensor | None:
        if table is None:
            return None
        for axis, axis_cells, chosen in ((2, self.queries, rows), (3, self.keys, columns)):
            if table.shape[axis] > 1:
                first, last = (
                    f(chosen, self.device) // block for f in (axis_cells.first, axis_cells.last)
                )
                seen = table.index_select(axis, first)
                for step in range(1, (axis_cells.width - 1 + block - 1) // block + 1):
                    places = torch.minimum(first + step, last)
                    seen = seen | table.index_select(axis, places)
                table = seen
        return table


def _members(pattern: Pattern, queries: Cells, keys: Cells) -> tuple[Tensor, Tensor] | None:
    """Which ids each cell holds, `(batch, cells, ids)`: two cells meet where they share one."""
    if pattern.query_ids is None or pattern.key_ids is None:
        return None
    both = torch.cat((pattern.query_ids, pattern.key_ids), 1)
    ids, ranks = both.unique(return_inverse=True)
    query, key = ranks.split((queries.length, keys.length), 1)
    return _marks(query, queries, len(ids)), _marks(key, keys, len(ids))


def _marks(ranks: Tensor, cells: Cells, ids: int) -> Tensor:
    batch, device = len(ranks), ranks.device
    marks = torch.zeros(batch, cells.count, ids, device=device)
    places = torch.arange(cells.length, device=device) // cells.width
    marks[torch.arange(batch, device=device)[:, None], places, ranks] = 1.0
    return marks
