"""Activations behind layers of 8 bits, computed along with the product: found by running them."""

import copy
from typing import Any, get_args

import torch
from torch import Tensor, nn

from heedful.allocation.attached import HOOKS
from heedful.allocation.hollow import give_numbers
from heedful.kernels.linear.product import Curve, curved
from heedful.nn.low_precision import LowPrecisionLinear

SPAN = 8.0  # between minus and plus this, activations are compared
ALIKE = 1e-5  # activations that differ by less are the same
ROUNDED = 0.02  # of what comes out: what roundings of later layers may make of that


def fuse_curves(model: nn.Module) -> None:
    """Let int8 layers compute the activation that reads what they give, and nothing else reads.

    Every module that holds both is run alone, as a copy, with random numbers: the activation must
    be given the very tensor that the layer returns, once, and what comes out must stay. The
    activation's place is then taken by `nn.Identity`.

    Args:
        model: Changed in place.

    Cost:
        Three runs of each such module, with six rows.
    """
    for parent in list(model.modules()):
        layers = {name: x for name, x in parent.named_children() if _is_int8(x)}
        children = parent.named_children() if layers else ()
        curves: list[tuple[str, Curve | None]] = [(place, curve_of(x)) for place, x in children]
        for place, curve in curves:
            if curve is None:
                continue
            name = _feeds(parent, layers, place)
            if name is not None and _keeps(parent, name, place, curve):
                _fuse(parent, name, place, curve)
                del layers[name]


def curve_of(module: nn.Module) -> Curve | None:
    """Return which curve a module without parts computes, by what it gives; `None`: no such one."""
    if next(module.children(), None) is not None or list(module.buffers()):
        return None
    if next(module.parameters(), None) is not None or _is_hooked(module):
        return None
    x = torch.linspace(-SPAN, SPAN, 129)
    try:
        with torch.no_grad():
            found: Any = copy.deepcopy(module).eval()(x)
    except Exception:  # whatever it is, it does not take numbers in a row
        return None
    if not isinstance(found, Tensor) or found.shape != x.shape:
        return None
    return next((c for c in get_args(Curve) if (curved(x, c) - found).abs().max() < ALIKE), None)


def _is_int8(module: nn.Module) -> bool:
    return isinstance(module, LowPrecisionLinear) and module.precision == "int8"


def _is_hooked(module: nn.Module) -> bool:
    return any(getattr(module, kind) for kind in HOOKS)


def _fuse(parent: nn.Module, name: str, place: str, curve: Curve) -> None:
    layer: Any = getattr(parent, name)
    layer.curve = curve
    setattr(parent, place, nn.Identity())


def _feeds(parent: nn.Module, layers: dict[str, nn.Module], place: str) -> str | None:
    """The layer whose very output the activation is given, once; `None`: there is none."""
    if any(_is_hooked(part) for part in parent.modules()):
        return None
    trial = _trial(parent)
    given: list[Any] = []
    made: dict[str, list[Any]] = {}

    def hear(name: str) -> Any:
        def heard(module: nn.Module, args: Any, output: Any) -> None:
            made.setdefault(name, []).append(output)

        return heard

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        given.extend(args)

    for name in layers:
        getattr(trial, name).register_forward_hook(hear(name))
    getattr(trial, place).register_forward_pre_hook(before)
    if _run(trial, {name: getattr(trial, name) for name in layers}) is None or len(given) != 1:
        return None
    return next((n for n, x in made.items() if len(x) == 1 and x[0] is given[0]), None)


def _keeps(parent: nn.Module, name: str, place: str, curve: Curve) -> bool:
    """Does what comes out stay when the layer computes the activation?"""
    trial = _trial(parent)
    layers = {name: getattr(trial, name)}
    before = _run(trial, layers)
    _fuse(trial, name, place, curve)
    after = _run(trial, layers)
    if before is None or after is None or before.shape != after.shape:
        return False
    return bool((after - before).norm() <= ROUNDED * before.norm())


def _trial(parent: nn.Module) -> nn.Module:
    """A copy that can run, also where the module has no numbers yet."""
    trial = copy.deepcopy(parent).eval()
    give_numbers(trial, [""])
    return trial


def _run(module: nn.Module, layers: dict[str, Any]) -> Tensor | None:
    """What the module makes of random numbers, as wide as one of its layers takes them."""
    for layer in layers.values():
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(2, 3, layer.in_features, generator=draw).to(layer.weight)
        try:
            with torch.no_grad():
                found: Any = module(x)
        except Exception:  # it takes something else
            continue
        if isinstance(found, Tensor):
            return found
    return None
