"""What a computation takes, counted and not timed, so that it is the same on every machine."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


class Cost(NamedTuple):
    """What a computation takes.

    Args:
        flops: Of its matrix products, convolutions and fused attention kernels.
        allocated: Bytes of all tensors that it made.
        largest: Numbers in the largest of them.
    """

    flops: int
    allocated: int
    largest: int


def measure(function: Callable[[], object]) -> Cost:
    """Run a function and count what it takes.

    Only memory that was asked for counts: not the tensors that exist before, not views, not changes
    in place. What a single operation of torch needs inside itself stays unseen.
    """
    recorder = _Recorder()
    with recorder, FlopCounterMode(display=False, custom_mapping=_FUSED) as counter:
        function()
    return Cost(counter.get_total_flops(), recorder.allocated, recorder.largest)


class _Recorder(TorchDispatchMode):
    """Adds up the memory that operations ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.allocated = self.largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = tree_leaves((args, kwargs))
        known = {x.untyped_storage().data_ptr() for x in given if isinstance(x, Tensor)}
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.untyped_storage().data_ptr() not in known:
                known.add(x.untyped_storage().data_ptr())
                size = x.untyped_storage().nbytes()
                self.allocated += size
                self.largest = max(self.largest, size // x.element_size())
        return result


def _forward(query: Shape, key: Shape, value: Shape, *others: Any, **named: Any) -> int:
    batch, heads, queries, dim = query
    return 2 * batch * heads * queries * key[2] * (dim + value[3])


def _backward(
    output: Shape, query: Shape, key: Shape, value: Shape, *others: Any, **named: Any
) -> int:
    batch, heads, queries, dim = query
    return 2 * batch * heads * queries * key[2] * (3 * dim + 2 * value[3])


# torch's counter knows the fused kernels of GPUs, and takes that of the CPU for free.
_FUSED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
}
