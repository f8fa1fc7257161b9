"""A copy of a module to try things on: random numbers of 64 bits, on the CPU, without hooks."""

import copy
import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.structure.norms import fold, norms_of
from heedful.allocation.attached import HOOKS, STORED
from heedful.errors import UnsupportedError
from heedful.nn.low_precision import LowPrecisionLinear

FUSED = "fused_attn"  # where modules of timm say how they attend
REGISTERED = ("_parameters", "_buffers", "_modules")


def scratch(module: nn.Module, *, attention: str = "eager", folded: bool = True) -> Any:
    """Return a copy with the structure of a module and numbers of its own.

    What it computes tells nothing of the original but how its numbers are put together. Its
    configs are copies too, and ask for this attention.

    Args:
        module: As it is; never changed.
        attention: The implementation.
        folded: Let batch norms be part of the layers before them.

    Raises:
        UnsupportedError: It cannot be copied, or holds what is no number.
    """
    generator = torch.Generator().manual_seed(len(list(module.parameters())))
    memo: dict[int, Any] = {}
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if not parameter.is_floating_point():
                raise UnsupportedError(f"its {name} holds {parameter.dtype}")
            memo[id(parameter)] = nn.Parameter(_random(name, parameter.shape, generator), False)
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_meta:
                raise UnsupportedError(f"its {name} is on the meta device")
            memo[id(buffer)] = _double(buffer.detach().cpu().clone())
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = _double(value.detach().cpu().clone())
    try:
        new = copy.deepcopy(module, memo)
    except Exception as error:  # whatever modules of others hold
        raise UnsupportedError(f"it cannot be copied: {error!s:.80}") from None
    _plain(new)
    forget(new)
    for part in new.modules():
        for hooks in (*HOOKS, *STORED):
            getattr(part, hooks).clear()
    attend_by(new, attention)
    new.eval()  # some modules of others return nothing here
    if folded:
        fold(new, norms_of(new))
    return new


def attend_by(module: nn.Module, attention: str) -> None:
    """Let a scratch copy ask for this attention."""
    for part in module.modules():
        config = vars(part).get("config")
        config = getattr(config, "seen", config)  # behind a view
        if hasattr(config, "_attn_implementation"):
            cast(Any, config)._attn_implementation_internal = attention


def fuse(module: nn.Module, attention: str) -> None:
    """Let parts of timm attend in one call, or write it out where attention is eager."""
    for part in module.modules():
        if isinstance(getattr(part, FUSED, None), bool):
            setattr(part, FUSED, attention != "eager")


def forget(module: nn.Module) -> None:
    """Let a module forget what it keeps of earlier calls, such as biases picked from a table."""
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in REGISTERED and isinstance(value, dict) and value:
                kept = cast(dict[Any, Any], value)
                if all(isinstance(x, Tensor) for x in kept.values()):
                    kept.clear()


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
    if len(shape) > 1:
        return numbers * (2 / math.sqrt(shape[-1] if shape[-1] > 1 else shape.numel()))
    return numbers * 0.3 + (name == "weight")


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _plain(module: nn.Module) -> None:
    """Let layers of few bits be those that they stand for."""
    for path, part in list(module.named_modules()):
        if isinstance(part, LowPrecisionLinear) and path:
            layer = nn.Linear(1, 1, bias=False)
            layer.weight = part.weight
            layer.bias = part.bias
            layer.out_features, layer.in_features = part.weight.shape
            module.set_submodule(path, layer)
