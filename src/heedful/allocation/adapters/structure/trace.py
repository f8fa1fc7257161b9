"""Run an attention module alone, and see which rows of its layers each head is made of."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_layers import is_transposed
from heedful.allocation.adapters.structure.calls import Arguments, calls_of
from heedful.allocation.adapters.structure.products import Asked, Products
from heedful.errors import UnsupportedError
from heedful.probing.replace import replaced

NO_ATTENTION = "it ran, and no softmax of products of queries and keys was heard"


@dataclass
class Trace:
    """One run, with a random tensor in the place of what each linear layer gave.

    Args:
        arguments: That the module was called with.
        layers: What stood in the place of the output of each layer, by its path.
        inputs: What each layer was given.
        asked: What the attention interface was given: the tensors by name, for each time.
        mixed: What it gave, each time: `(batch, queries, heads, value_dim)`.
        scale: Of the scores.
        forms: How many things each module gave, in a tuple; `None` for one alone.
    """

    arguments: Arguments
    layers: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    inputs: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    asked: list[dict[str, Tensor]] = field(default_factory=list[dict[str, Tensor]])
    mixed: list[Tensor] = field(default_factory=list[Tensor])
    core: str = ""
    scale: float = 1.0
    forms: dict[str, int | None] = field(default_factory=dict[str, int | None])


def traced(module: nn.Module) -> Trace:
    """Run a scratch copy of a module once.

    Raises:
        UnsupportedError: No arguments were found with which it runs, or it does not ask the
            attention interface of transformers.
    """
    last = "it takes nothing that could be looked at"
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    for arguments in calls_of(module):
        trace = Trace(arguments)
        try:
            with torch.no_grad():
                module(**arguments)
            with _heard(module, trace), torch.enable_grad():
                module(**arguments)
        except UnsupportedError:
            raise
        except Exception as error:  # whatever the forward of others raises
            last = f"{type(error).__name__}: {error!s:.80}"
            continue
        if not trace.asked:
            raise UnsupportedError(NO_ATTENTION)
        return trace
    raise UnsupportedError(f"it could not be called alone, {last}")


@contextmanager
def _heard(module: nn.Module, trace: Trace) -> Generator[None]:
    generator = torch.Generator().manual_seed(7)
    paths = {part: path for path, part in module.named_modules()}

    running: list[str] = []

    def answer(asked: Asked, core: str, rest: dict[str, Any]) -> Tensor:
        given = {"query": asked.query, "key": asked.key, "value": asked.value, **rest}
        trace.asked.append({k: x for k, x in given.items() if isinstance(x, Tensor)})
        trace.core, trace.scale = core, asked.scale
        batch, heads, queries, _ = asked.query.shape
        trace.mixed.append(_random((batch, queries, heads, asked.value.shape[-1]), generator))
        return trace.mixed[-1]

    def attend(core: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **named: Any):
        mask, *_ = rest or (named.get("attention_mask"),)
        scale = named.get("scaling") or query.shape[-1] ** -0.5
        asked = Asked(query, key, value, None, float(scale))
        return answer(asked, paths[core], {"attention_mask": mask, **named}), None

    def heard(asked: Asked) -> Tensor:
        return answer(asked, running[-1], {"scores": asked.scores})

    def get_interface(*_: Any) -> Callable[..., Any]:
        return attend

    from transformers import AttentionInterface

    with ExitStack() as stack:
        stack.enter_context(replaced(AttentionInterface, "get_interface", get_interface))
        for path, part in module.named_modules():
            if is_layer(part):
                stack.callback(part.register_forward_hook(_stand_in(path, trace, generator)).remove)
            elif not type(part).__module__.startswith("torch."):
                _follow(path, part, running, trace, stack)
        stack.enter_context(Products(heard, lambda shape: _random(shape, generator)))
        yield


def _stand_in(path: str, trace: Trace, generator: torch.Generator) -> Callable[..., Tensor]:
    """A hook that gives random numbers in the place of what a layer gave."""

    def hook(_: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
        if path in trace.layers:
            raise UnsupportedError(f"its {path} works twice in one call")
        trace.inputs[path] = given[0]
        trace.layers[path] = _random(tuple(output.shape), generator)
        return trace.layers[path]

    return hook


def _follow(path: str, part: nn.Module, running: list[str], trace: Trace, stack: ExitStack) -> None:
    """Note while a module runs, and in what form it gives what it gives."""

    def before(*_: Any) -> None:
        running.append(path)

    def after(_: nn.Module, given: Any, output: Any) -> None:
        running.pop()
        trace.forms[path] = len(cast(Any, output)) if isinstance(output, tuple) else None

    stack.callback(part.register_forward_pre_hook(before).remove)
    stack.callback(part.register_forward_hook(after).remove)


def is_layer(part: nn.Module) -> bool:
    """Is this a linear layer, whichever way round its weight stands?"""
    return isinstance(part, nn.Linear) or is_transposed(part)


def _random(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def influence(of: Tensor, on: dict[str, Tensor], by: Tensor | None = None) -> dict[str, Tensor]:
    """Return the gradients of a weighted sum of something; only for what it depends on.

    Args:
        of: What is asked about.
        on: What it may depend on.
        by: The weights of the sum; random without.
    """
    if not of.requires_grad:
        return {}
    if by is None:
        by = torch.randn(of.shape, generator=torch.Generator().manual_seed(3), dtype=of.dtype)
    gradients = cast(
        tuple[Tensor | None, ...],
        torch.autograd.grad(
            (of * by).sum(), list(on.values()), retain_graph=True, allow_unused=True
        ),
    )
    return {
        name: gradient
        for name, gradient in zip(on, gradients, strict=True)
        if gradient is not None and bool(gradient.any())
    }


def channels(gradient: Tensor) -> Tensor:
    """Return which components of the last axis are not 0 everywhere."""
    return gradient.flatten(0, -2).any(0).nonzero().flatten()
