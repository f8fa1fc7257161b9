"""Parameters spread over processes, by torch's FSDP2: each holds its share of every one of them."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeGuard, cast

from torch import Tensor, nn

from heedful.errors import UnsupportedError

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor


def shard_model(model: nn.Module, *, device: str) -> None:
    """Spread the parameters, and so their gradients and what optimizers remember, in place.

    Every module of a `ModuleList` is gathered for its own forward and backward pass, and all else
    with the model; one whose own modules are called one by one instead is gathered for these, and
    until its gradient is there. An optimizer must be made after this. All processes hold the same
    parameters before, and call the model, and nothing within it, for a gradient.

    Args:
        model: On its device.
        device: Type of that, e.g. `cpu`.
    """
    from torch.distributed import get_world_size
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (get_world_size(),))
    for module in reversed([*model.modules()]):  # the innermost first
        for part in module if isinstance(module, nn.ModuleList) else ():
            if isinstance(part, nn.ModuleList | nn.ModuleDict) or not [*part.parameters()]:
                continue  # a container has no forward pass
            if not is_sharded(part):  # it is in one list alone
                _Reached(part, model)
                fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)


class _Reached:
    """Gathers a part where modules within it are called and its own forward pass is not.

    Args:
        part: Gathered by itself.
        model: That it is in.
    """

    def __init__(self, part: nn.Module, model: nn.Module) -> None:
        self.name = type(part).__name__  # FSDP gives it another one
        self.part, self.ways = cast("FSDPModule", part), set[str]()
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)
        part.register_forward_pre_hook(self._as_a_whole)
        for inner in _own_modules(part):
            inner.register_forward_pre_hook(self._within)

    def _begin(self, model: nn.Module, inputs: object) -> None:
        self.part.set_reshard_after_forward(True, recurse=False)
        self.ways.clear()

    def _end(self, model: nn.Module, inputs: object, output: object) -> None:
        self.ways.clear()

    def _as_a_whole(self, part: nn.Module, inputs: object) -> None:
        self._note("as a whole")

    def _within(self, module: nn.Module, inputs: object) -> None:
        if any(map(_is_spread, module.parameters(recurse=False))):
            self._note("by modules within it")
            self.part.set_reshard_after_forward(False, recurse=False)  # backward reads it again
            self.part.unshard()

    def _note(self, way: str) -> None:
        self.ways.add(way)
        if len(self.ways) > 1:  # its gradients would be sent off before they are all there
            raise UnsupportedError(
                "a module of a ModuleList must be called either as a whole or by modules within it "
                f"where train.strategy is fsdp, got both of {self.name}"
            )


def _own_modules(part: nn.Module) -> Generator[nn.Module]:
    """All within a part but what is gathered by itself."""
    for child in part.children():
        if not is_sharded(child):
            yield child
            yield from _own_modules(child)


def gather_for_loss(model: nn.Module) -> None:
    """Hold every parameter as a whole until its gradient is there: for a loss that reads them.

    Args:
        model: Behind its forward pass, whose gradient is to come.
    """
    for part in model.modules():
        if is_sharded(part):
            part.unshard()


def check_loss(loss: Tensor) -> None:
    """Refuse a loss of which each process has a share.

    Raises:
        UnsupportedError: It reads parameters that are spread.
    """
    if _is_spread(loss):
        raise UnsupportedError(
            "a loss that reads parameters must call heedful.distributed.fsdp.gather_for_loss "
            "before, where train.strategy is fsdp, got one that reads shares of them"
        )


@contextmanager
def whole(model: nn.Module) -> Generator[None]:
    """Hold every parameter as a whole meanwhile, so that any method of any module can be called.

    All processes do so together. A model that is not spread stays as it is.

    Args:
        model: As `shard_model` left it, or any other.
    """
    parts = [module for module in model.modules() if is_sharded(module)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(id(part) != id(model), recurse=False)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a tensor that is spread, on the CPU; all processes call this together."""
    return tensor.full_tensor().cpu() if _is_spread(tensor) else tensor


def spread_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's share of a tensor that all have, where `like` is spread; else the tensor."""
    if not _is_spread(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    there = tensor.to(like.device)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)


def synchronise(model: nn.Module, on: bool) -> None:
    """Let backward passes average gradients over processes, or only add them up in each."""
    if is_sharded(model):
        model.set_requires_gradient_sync(on)
    elif isinstance(model, nn.parallel.DistributedDataParallel):
        model.require_backward_grad_sync = on


def norm_of(norm: Tensor | None) -> float:
    """A gradient norm as a number; NaN for none."""
    return float("nan") if norm is None else float(gathered(norm.detach()))


# What spreads models takes its time to load, and is not there in every build of torch.


def is_sharded(module: object) -> "TypeGuard[FSDPModule]":
    """Whether `shard_model` has spread the parameters of this very module."""
    if "torch.distributed.fsdp" not in sys.modules:
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(module, FSDPModule)


def holds_shares(model: nn.Module) -> bool:
    """Whether any parameter of a model is spread, by itself or by what is around it."""
    return any(map(_is_spread, model.parameters()))


def _is_spread(tensor: Tensor) -> "TypeGuard[DTensor]":
    if "torch.distributed.tensor" not in sys.modules:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)
