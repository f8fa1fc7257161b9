"""The numbers of a model as safetensors: every one once, and into a model of the same shapes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from heedful.errors import RunError


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
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"a checkpoint must hold {path.name}, got none in {path.parent}") from None
    except OSError as error:
        raise RunError(f"{path} must be readable, got: {error.strerror or error}") from None
    except SafetensorError as error:
        raise RunError(f"{path} must be whole, got a damaged file: {error}") from None


@torch.no_grad()
def fill(model: nn.Module, stored: Mapping[str, Tensor], path: Path) -> None:
    """Put stored numbers into a model.

    Args:
        model: Has the same names and shapes.
        stored: As `weights_of` returned them.
        path: Where they come from, for errors.

    Raises:
        RunError: They are of another model; then nothing was changed.
    """
    wanted = weights_of(model)
    if stored.keys() != wanted.keys():
        different = sorted(stored.keys() ^ wanted.keys())[:3]
        raise RunError(f"{path} must fit the model, got a difference in {', '.join(different)}")
    for name, tensor in wanted.items():
        if stored[name].shape != tensor.shape:
            raise RunError(
                f"{path} must fit the model, got {name} of shape {tuple(stored[name].shape)} "
                f"for {tuple(tensor.shape)}"
            )
    for name, tensor in wanted.items():
        tensor.copy_(stored[name])
