"""Models whose parameters have shapes and no numbers, until these are read from a file."""

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn

from heedful.distributed.fsdp import spread_like

STD = 0.02  # of numbers that are drawn, as most models of transformers begin with


@contextmanager
def without_numbers() -> Generator[None]:
    """Let modules that this thread builds have their parameters on the meta device.

    Buffers are as ever: positions and the like, which no file of weights may hold.

    Cost:
        No more memory than the largest parameter takes, and that for a moment.
    """
    register, here = nn.Module.register_parameter, threading.get_ident()

    def registered(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta and threading.get_ident() == here:
            param = nn.Parameter(param.detach().to("meta"), param.requires_grad)
        register(module, name, param)

    with patch.object(nn.Module, "register_parameter", registered):
        yield


def give_numbers(model: nn.Module, names: Iterable[str]) -> None:
    """Let parameters of some modules hold numbers, drawn at random: what is cut is computed with.

    Args:
        model: Changed in place.
        names: Of modules.
    """
    draw = torch.Generator().manual_seed(0)
    parts = [model.get_submodule(name) for name in names]
    hollow = {id(x): x for part in parts for x in part.parameters() if x.is_meta}
    replace_parameters(
        model,
        {
            key: nn.Parameter(
                torch.empty_like(x, device="cpu").normal_(std=STD, generator=draw), x.requires_grad
            )
            for key, x in hollow.items()
        },
    )


def replace_parameters(model: nn.Module, new: Mapping[int, nn.Parameter]) -> None:
    """Put other parameters in the places of some, in all of them where several share one.

    Args:
        model: Changed in place.
        new: By the `id` of what they stand for.
    """
    for part in model.modules():
        for own, parameter in list(part.named_parameters(recurse=False, remove_duplicate=False)):
            if id(parameter) in new:
                setattr(part, own, new[id(parameter)])


def put(model: nn.Module, stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Put stored numbers into a model: copied, or themselves where there were none.

    Args:
        model: Changed in place.
        stored: By the names of parameters and buffers, in any precision.
        wanted: Which of them, and what the model has in these places.
    """
    parameters, new = dict(model.named_parameters()), dict[int, nn.Parameter]()
    for name, tensor in wanted.items():
        known = parameters.get(name)
        if known is not None and known.is_meta:
            new[id(known)] = nn.Parameter(stored[name].to(known.dtype), known.requires_grad)
        else:
            tensor.copy_(spread_like(stored[name], tensor))
    replace_parameters(model, new)
