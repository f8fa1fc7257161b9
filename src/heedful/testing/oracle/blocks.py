"""The oracle of what works in blocks: blocks must not change what is computed, only listed what."""

from heedful.testing.oracle._loops import Array, Result, Sees
from heedful.testing.oracle.scores import scaled_dot


def blockwise(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    block: int,
    scale: float | None = None,
) -> Result:
    """`scaled_dot`, whatever the blocks are."""
    return scaled_dot(query, key, value, sees, scale=scale)


def block_sparse(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    blocks: Array,
    block: int,
    scale: float | None = None,
) -> Result:
    """`scaled_dot` over the keys of listed blocks; a list of one row or head is for all."""

    def listed(b: int, h: int, i: int, j: int) -> bool:
        row, head = min(b, len(blocks) - 1), min(h, blocks.shape[1] - 1)
        return sees(b, h, i, j) and bool(blocks[row, head, i // block, j // block])

    return scaled_dot(query, key, value, listed, scale=scale)
