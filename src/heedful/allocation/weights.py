"""The numbers of a model as safetensors: every one once, and into a model of the same shapes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from heedful.distributed.fsdp import spread_like
from heedful.errors import RunError
from heedful.files import read_whole, reason

LARGEST = 1 << 42  # bytes of one file of numbers


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter once, also where two names share it, and the persistent buffers."""
    named = dict(model.named_parameters())
    kept = model.state_dict(keep_vars=True)
    buffers = {name: kept[name] for name, _ in model.named_buffers() if name in kept}
    return {name: tensor.detach().contiguous() for name, tensor in (named | buffers).items()}


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

    Args:
        model: Has the same names and shapes.
        stored: As `weights_of` returned them.
        path: Where they come from, for errors.

    Raises:
        RunError: They are of another model or no numbers; then nothing was changed.
    """
    wanted, parameters = weights_of(model), dict(model.named_parameters())
    if stored.keys() != wanted.keys():
        different = sorted(stored.keys() ^ wanted.keys())[:3]
        raise RunError(f"{path} must fit the model, got a difference in {', '.join(different)}")
    for name, tensor in wanted.items():
        if stored[name].shape != tensor.shape:
            raise RunError(
                f"{path} must fit the model, got {name} of shape {tuple(stored[name].shape)} "
                f"for {tuple(tensor.shape)}"
            )
        if not _alike(stored[name].dtype, tensor.dtype):
            raise RunError(
                f"{path} must fit the model, got {name} of {_word(stored[name])} "
                f"for {_word(tensor)}"
            )
        if name in parameters and stored[name].is_floating_point() and stored[name].isnan().any():
            raise RunError(f"{path} must hold numbers, got some that are none (NaN) in {name}")
    for name, tensor in wanted.items():
        tensor.copy_(spread_like(stored[name], tensor))


def _alike(stored: torch.dtype, wanted: torch.dtype) -> bool:
    """Numbers with a point may be kept in another precision, counts and truth values not."""
    return stored == wanted or (stored.is_floating_point and wanted.is_floating_point)


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
