"""The numbers of a model as safetensors: every one once, and into a model of the same shapes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from heedful.allocation.hollow import put
from heedful.errors import RunError
from heedful.files import read_whole, reason
from heedful.nn.compact import compact_weights, low_layers, room_of
from heedful.nn.low_precision import INT8, SCALE, LowPrecisionLinear

LARGEST = 1 << 42  # bytes of one file of numbers


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter once, also where two names share it, and the persistent buffers."""
    named = dict(model.named_parameters())
    kept = model.state_dict(keep_vars=True)
    buffers = {name: kept[name] for name, _ in model.named_buffers() if name in kept}
    return {name: tensor.detach().contiguous() for name, tensor in (named | buffers).items()}


def compact_weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the same, of layers of few bits only what they multiply by.

    A model that is filled with them says the same, bit for bit, and learns from rounded numbers.
    """
    found = weights_of(model)
    for name, tensors in compact_weights(model).items():
        del found[f"{name}.weight"]
        found |= {f"{name}.{own}": tensor for own, tensor in tensors.items()}
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        RunError: It is missing or damaged.
    """
    return parse_tensors(read_whole(path, most=LARGEST, holder="a checkpoint"), path)


def parse_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """Turn what `path` holds into tensors.

    Raises:
        RunError: It is damaged, or no safetensors file.
    """
    try:
        return load(content)
    except (
        SafetensorError,
        ArithmeticError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as e:
        raise RunError(f"{path} must be whole, got a damaged file: {reason(e)}") from None
    except MemoryError:
        raise RunError(f"{path} must fit into memory, got {len(content):,} bytes") from None


@torch.no_grad()
def fill(model: nn.Module, stored: Mapping[str, Tensor], path: Path) -> None:
    """Put stored numbers into a model.

    Layers of few bits hold what they multiply by, and that alone, where that is what was stored.
    Parameters without numbers, on the meta device, become those that were stored.

    Args:
        model: Has the same names and shapes.
        stored: As `weights_of` or `compact_weights_of` returned them.
        path: Where they come from, for errors.

    Raises:
        RunError: They are of another model or no numbers; then nothing was changed.
    """
    low = {name: layer for name, layer in low_layers(model).items() if _is_low(stored, name, layer)}
    wanted, parameters = weights_of(model), dict(model.named_parameters())
    place = {
        name: torch.device("cpu") if layer.weight.is_meta else layer.weight.device
        for name, layer in low.items()
    }
    for name, layer in low.items():
        wanted.pop(f"{name}.weight", None)
        wanted |= {f"{name}.{own}": x for own, x in room_of(layer).items()}
    if stored.keys() != wanted.keys():
        different = sorted(stored.keys() ^ wanted.keys())[:3]
        raise RunError(f"{path} must fit the model, got a difference in {', '.join(different)}")
    for name, tensor in wanted.items():
        _check(stored[name], tensor, name, path)
        learned = name in parameters or name.endswith((INT8, SCALE))
        if learned and not _are_numbers(stored[name], name):
            raise RunError(f"{path} must hold numbers, got some that are none (NaN) in {name}")
    for name, layer in low.items():
        found = {own: wanted.pop(f"{name}.{own}") for own in room_of(layer)}
        layer.take(*(stored[f"{name}.{own}"].to(place[name]) for own in found))
    put(model, stored, wanted)


def _is_low(stored: Mapping[str, Tensor], name: str, layer: LowPrecisionLinear) -> bool:
    """Is what such a layer multiplies by all that was stored of it?"""
    if layer.precision == "int8":
        return f"{name}.{INT8}" in stored
    found = stored.get(f"{name}.weight")
    wide = layer.compact or layer.weight.dtype != torch.bfloat16
    return found is not None and found.dtype == torch.bfloat16 and wide


def _check(found: Tensor, wanted: Tensor, name: str, path: Path) -> None:
    if found.shape != wanted.shape:
        raise RunError(
            f"{path} must fit the model, got {name} of shape {tuple(found.shape)} "
            f"for {tuple(wanted.shape)}"
        )
    if not _alike(found.dtype, wanted.dtype):
        raise RunError(
            f"{path} must fit the model, got {name} of {_word(found)} for {_word(wanted)}"
        )


def _are_numbers(found: Tensor, name: str) -> bool:
    if name.endswith(SCALE):
        return bool((found.isfinite() & (found > 0)).all())
    if name.endswith(INT8):
        return bool((found != torch.iinfo(torch.int8).min).all())  # which no rounding gives
    return not (found.is_floating_point() and bool(found.isnan().any()))


def _alike(stored: torch.dtype, wanted: torch.dtype) -> bool:
    """Numbers with a point may be kept in another precision, counts and truth values not."""
    return stored == wanted or (stored.is_floating_point and wanted.is_floating_point)


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
