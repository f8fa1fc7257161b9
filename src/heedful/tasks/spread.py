"""A few examples that stand for many: evenly over their sizes."""

from collections.abc import Sequence
from typing import Any

from heedful.tasks.base import Task


def spread_by_size(
    task: Task[Any, Any], examples: Sequence[Any], *, count: int, ends: bool = False
) -> list[Any]:
    """Return some examples, from the middles of as many equal parts of all of them by size.

    Args:
        task: Says how large each is in a batch.
        examples: Any.
        count: How many at most.
        ends: Begin with the smallest and end with the largest, instead of the middles of the first
            and the last part.
    """
    sizes = task.encode(examples).sizes.sum(1)
    order = sorted(range(len(examples)), key=lambda row: (sizes[row], row))
    count = min(count, len(order))
    chosen = [order[(2 * part + 1) * len(order) // (2 * count)] for part in range(count)]
    if ends and chosen:
        chosen[-1] = order[-1]
        chosen[0] = order[0]
    return [examples[row] for row in chosen]
