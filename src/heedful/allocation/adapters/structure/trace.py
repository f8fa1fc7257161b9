"""Run an attention module alone, and see which rows of its layers each head is made of."""

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_sites import Beside
from heedful.allocation.adapters.structure.calls import Arguments, calls_of
from heedful.allocation.adapters.structure.layers import Around, first, is_layer, last, rows_of_bias
from heedful.allocation.adapters.structure.products import BATCH, Asked, Layout, Products
from heedful.allocation.adapters.structure.scratch import forget
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
        beside: What each module gave behind its output, all of it as `None`; `None`: nothing.
        biases: By layer, what besides its own bias is added to what it gives: by name, the row
            that each number is added to.
        around: Layers that did not run, since their weights were multiplied by without them.
        layout: Where heads were looked for.
        axes: How many the tensors had in which heads were.
    """

    arguments: Arguments
    layers: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    inputs: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    asked: list[dict[str, Tensor]] = field(default_factory=list[dict[str, Tensor]])
    mixed: list[Tensor] = field(default_factory=list[Tensor])
    core: str = ""
    scale: float = 1.0
    beside: dict[str, Beside | None] = field(default_factory=dict[str, Beside | None])
    biases: dict[str, dict[str, Tensor]] = field(default_factory=dict[str, dict[str, Tensor]])
    around: set[str] = field(default_factory=set[str])
    layout: Layout = field(default_factory=Layout)
    axes: int = 4

    def layouts(self) -> list[Layout]:
        """Where else heads may stand: texts, windows and components may be in other axes."""
        if self.axes == 5:
            return [Layout(axis=2)]
        if self.axes != 3:
            return [Layout(turned=True)]
        sizes = {size for x in self.arguments.values() if isinstance(x, Tensor) for size in x.shape}
        return [Layout(batch=size) for size in sorted(sizes - {1, BATCH})]


def traced(module: nn.Module, layout: Layout | None = None) -> Trace:
    """Run a scratch copy of a module once.

    Args:
        module: The copy.
        layout: Where its heads are looked for.

    Raises:
        UnsupportedError: No arguments were found with which it runs, or it does not ask the
            attention interface of transformers.
    """
    last = "it takes nothing that could be looked at"
    for parameter in (*module.parameters(), *own_buffers(module).values()):
        parameter.requires_grad_(True)
    for arguments in calls_of(module):
        trace = Trace(arguments, layout=layout or Layout())
        try:
            with torch.no_grad():
                module(**arguments)
            forget(module)
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

    with ExitStack() as stack:
        if "transformers" in sys.modules:
            from transformers import AttentionInterface

            stack.enter_context(replaced(AttentionInterface, "get_interface", get_interface))
        _stand_in(module, trace, generator, stack)
        for path, part in module.named_modules():
            if not is_layer(part) and not type(part).__module__.startswith("torch."):
                _follow(path, part, running, trace, stack)
        products = Products(heard, lambda shape: _random(shape, generator), trace.layout)
        with products:
            yield
        trace.axes = products.axes or trace.axes


def _stand_in(
    module: nn.Module, trace: Trace, generator: torch.Generator, stack: ExitStack
) -> None:
    """Put random numbers in the place of what each layer gives."""
    layers = {path: part for path, part in module.named_modules() if is_layer(part)}
    running: set[str] = set()
    own = own_parameters(module, layers)

    def stand(path: str, given: Tensor, output: Tensor) -> Tensor:
        if path in trace.layers:
            raise UnsupportedError(f"its {path} works twice in one call")
        layer = layers[path]
        trace.inputs[path] = last(layer, given)
        trace.layers[path] = _random(tuple(last(layer, output).shape), generator)
        return first(layer, trace.layers[path].clone())  # some change it where it stands

    def around(path: str, given: Tensor, output: Tensor) -> Tensor:
        trace.around.add(path)
        return stand(path, given, output)

    def added(path: str, bias: Tensor) -> None:
        trace.biases[path] = rows_of_bias(path, bias, own)

    def before(path: str) -> Callable[..., None]:
        return lambda *_: running.add(path)

    def after(path: str) -> Callable[..., Tensor]:
        def hook(_: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
            running.discard(path)
            return stand(path, given[0], output)

        return hook

    for path, layer in layers.items():
        stack.callback(layer.register_forward_pre_hook(before(path)).remove)
        stack.callback(layer.register_forward_hook(after(path)).remove)
    stack.enter_context(Around(layers, running, around, added))


def own_parameters(module: nn.Module, layers: Iterable[str]) -> dict[str, Tensor]:
    """Parameters that are of no layer, and numbers beside them, by name."""
    layers = set(layers)
    named = {
        name: x for name, x in module.named_parameters() if name.rpartition(".")[0] not in layers
    }
    return named | own_buffers(module)


def own_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Rows of numbers that a module holds as buffers, such as biases that nobody learns."""
    return {
        f"{path}.{name}".lstrip("."): x
        for path, part in module.named_modules()
        if not type(part).__module__.startswith("torch.")
        for name, x in part.named_buffers(recurse=False)
        if x.ndim == 1 and x.is_floating_point()
    }


def _follow(path: str, part: nn.Module, running: list[str], trace: Trace, stack: ExitStack) -> None:
    """Note while a module runs, and in what form it gives what it gives."""

    def before(*_: Any) -> None:
        running.append(path)

    def after(_: nn.Module, given: Any, output: Any) -> None:
        running.pop()
        trace.beside[path] = _beside(output)

    stack.callback(part.register_forward_pre_hook(before).remove)
    stack.callback(part.register_forward_hook(after).remove)


def _beside(output: Any) -> Beside | None:
    if not isinstance(output, tuple | list):
        return None
    beside = [None] * (len(cast(Any, output)) - 1)
    return beside if isinstance(output, list) else tuple(beside)


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
