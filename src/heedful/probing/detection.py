"""Detect the modules that attend by running the model, whatever they are called and made of."""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from heedful.probing.unsupported import contains

SOFTMAX = {"softmax", "_softmax", "softmin", "gumbel_softmax"}
PRODUCT = {"matmul", "__matmul__", "bmm", "baddbmm", "einsum", "mm"}
FUSED = ("attention", "attend")  # in the name of a function, torch's own or anybody's operator

# what a weight may go through between the softmax and the weighted sum, and stay one
SHAPED = {
    *("view", "reshape", "transpose", "permute", "flatten", "unflatten", "squeeze", "unsqueeze"),
    *("expand", "expand_as", "contiguous", "clone", "movedim", "swapaxes", "__get__", "t", "mT"),
    *("to", "type", "type_as", "float", "half", "bfloat16", "double", "view_as", "detach"),
    *("dropout", "dropout_", "masked_fill", "masked_fill_", "nan_to_num", "where", "repeat"),
    *(
        "mul",
        "mul_",
        "__mul__",
        "__rmul__",
        "__imul__",
        "div",
        "div_",
        "__truediv__",
        "__getitem__",
    ),
    *("add", "add_", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "relu", "relu_"),
    *("exp", "exp_", "sigmoid", "tanh", "square", "pow", "__pow__", "normalize", "clamp", "tril"),
}


def detect_attention(
    model: nn.Module, run: Callable[[nn.Module], object], known: Iterable[str] = ()
) -> dict[str, str]:
    """Run a model and return the modules that attend and are not known, each with the reason.

    A module attends when it calls a function of attention, sums up by a softmax, or multiplies what
    it computed from its input with a third such tensor, as linear attention does; products with
    parameters are none. Of modules in each other it is the innermost.

    Args:
        model: What runs; never changed.
        run: Calls it.
        known: The names of modules that somebody knows; what is inside of them is not listed.

    Cost:
        Two runs, one of them without torch's fused Transformer layers and slower by some
        microseconds for each operation.
    """
    names = {module: name for name, module in model.named_modules()}
    watch = _Watch(names, frozenset(known))
    with torch.no_grad():
        run(model)  # what is chosen by time is chosen now, while nobody watches
        with _eagerly(), watch:
            run(model)
    return {name: watch.found[name] for name in names.values() if name in watch.found}


def _eagerly() -> AbstractContextManager[Any]:
    """Let compiled functions run as they are written, where anything was compiled at all."""
    compiled = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


class _Watch(TorchFunctionMode):
    """Follows softmaxes and products through a run."""

    def __init__(self, names: Mapping[nn.Module, str], known: frozenset[str]) -> None:
        super().__init__()
        self.names, self.known = names, known
        self.found: dict[str, str] = {}
        self.weights: Any = WeakIdKeyDictionary()  # shares of a softmax
        self.weighted: Any = WeakIdKeyDictionary()  # numbers times such shares, not yet summed
        self.products: Any = WeakIdKeyDictionary()  # products, and which module made them

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.compiler.is_compiling():
            return result
        name = str(getattr(func, "__name__", func)).lower()
        given = [x for x in _flat((*args, *(kwargs or {}).values())) if isinstance(x, Tensor)]
        caller = str(sys._getframe(1).f_globals.get("__name__"))  # pyright: ignore[reportPrivateUsage]
        if caller.startswith("heedful.kernels"):  # whose native ones torch never sees
            self._note("calls heedful.attend")
        elif any(word in name for word in FUSED) and isinstance(_first(result), Tensor):
            self._note(f"calls {name}")
        elif isinstance(result, Tensor) and given:
            self._follow(name, given, result)
        return result

    def _follow(self, name: str, given: list[Tensor], result: Tensor) -> None:
        weights = any(x in self.weights for x in given)
        if name in SOFTMAX:
            self.weights[result] = True
        elif name in PRODUCT:
            self._multiplied(given, result, weights)
        elif name == "sum" and any(x in self.weighted for x in given):
            self._note("sums up by a softmax")
        elif name in SHAPED:
            if weights and any(x in self.weights and x.numel() == result.numel() for x in given):
                self.weights[result] = True
            elif weights or any(x in self.weighted for x in given):
                self.weighted[result] = True
            maker = next((self.products[x] for x in given if x in self.products), None)
            if maker is not None:
                self.products[result] = maker

    def _multiplied(self, given: list[Tensor], result: Tensor, weights: bool) -> None:
        if weights:
            self._note("sums up by a softmax")
        elif len(given) > 1 and not any(isinstance(x, nn.Parameter) for x in given):
            here = self._here()
            if here is None:
                return
            if any(self.products.get(x) == here for x in given):
                self._note(
                    "multiplies three tensors that depend on its input, as linear attention does"
                )
            self.products[result] = here

    def _note(self, what: str) -> None:
        name = self._here()
        if name is not None and name not in self.found:
            module = next(module for module, other in self.names.items() if other == name)
            self.found[name] = f"{type(module).__name__} {what}, and no adapter knows it"

    def _here(self) -> str | None:
        """The innermost module of the model that runs, unless it belongs to one that is known."""
        innermost: str | None = None
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        seen: object = None
        while frame is not None:
            module = frame.f_locals.get("self")
            if module is not seen and isinstance(module, nn.Module) and module in self.names:
                seen, name = module, self.names[module]
                if name in self.known or any(
                    contains(outer, name) for outer in self.known if outer
                ):
                    return None
                if innermost is None and not _is_plain(module):
                    innermost = name
            frame = frame.f_back
        return innermost


def _is_plain(module: nn.Module) -> bool:
    """Is it a function in the shape of a module, such as `nn.Softmax`, that works for another?"""
    return type(module).__module__.startswith("torch.nn.") and not [*module.children()]


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) and result else result
