"""What goes around a ring: to the next process, from the one before, while one computes."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch.distributed as dist
from torch import Tensor

from heedful.distributed.zigzag import Ring


class Exchange(NamedTuple):
    """Tensors on their way.

    Args:
        works: Of torch.
        sent: Kept until they have arrived.
        received: Not to be read before `wait` has returned them.
    """

    works: list[dist.Work]
    sent: Sequence[Tensor]
    received: list[Tensor]

    @classmethod
    def begin(cls, ring: Ring, tensors: Sequence[Tensor], *, length: int) -> Self:
        """Send to the next process, and receive as many, of another length, from the one before.

        Args:
            ring: The processes; all of them begin the same exchanges in the same order.
            tensors: `(batch, heads, length, dim)`.
            length: Of what comes.
        """
        sent = [tensor.contiguous() for tensor in tensors]
        received = [x.new_empty(*x.shape[:2], length, x.shape[3]) for x in sent]
        there, back, group = ring.peer(1), ring.peer(-1), ring.group
        out = [dist.P2POp(dist.isend, each, there, group) for each in sent]
        come = [dist.P2POp(dist.irecv, each, back, group) for each in received]
        return cls(dist.batch_isend_irecv([*out, *come]), sent, received)

    def wait(self) -> list[Tensor]:
        """Return what has come, once all has."""
        for work in self.works:
            work.wait()
        return self.received
