"""What optimizers remember of each parameter, and the random numbers, as tensors with names."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from heedful.distributed.fsdp import gathered, spread_like
from heedful.errors import RunError, UnsupportedError
from heedful.files import reason

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what Adam and AdamW remember of a parameter
UNMOVED = "unmoved"  # instead of moments, where nothing was remembered
STEP = "step"
NUMBERS = (STEP, "mu_product", "eta", "mu")  # of NAdam and ASGD; all else has the parameter's shape
RANDOM = ("random/cpu", "random/cuda")

Owners = Mapping[Tensor, Optimizer]


class Remembered(NamedTuple):
    """What was read and fits; nothing is changed before `restore` is called."""

    path: Path
    owners: Owners
    moments: Mapping[Tensor, Mapping[str, Tensor]]
    random: Mapping[str, Tensor | None]

    def restore(self) -> None:
        """Let optimizers remember it, and random numbers go on where they were.

        Raises:
            RunError: The random numbers are none.
        """
        cpu, cuda = (self.random[name] for name in RANDOM)
        _draw_on(cpu, torch.set_rng_state, self.path)
        if torch.cuda.is_available() and cuda is not None:
            _draw_on(cuda, torch.cuda.set_rng_state, self.path)
        for parameter, moments in self.moments.items():
            optimizer = self.owners[parameter]
            optimizer.state[parameter] = {
                key: _placed(tensor, key, parameter, optimizer) for key, tensor in moments.items()
            }


def optimizer_state(
    model: nn.Module, optimizers: Mapping[str, Optimizer], *, begun: bool
) -> dict[str, Tensor]:
    """Return what a checkpoint must hold beside the weights; of what is spread the whole.

    Args:
        model: Names the parameters.
        optimizers: Of its parameters; each has one.
        begun: Steps were taken: a parameter of which nothing is remembered has none to come.

    Raises:
        UnsupportedError: An optimizer remembers what is no tensor, or of another shape.
    """
    state = {RANDOM[0]: torch.get_rng_state()}
    if torch.cuda.is_available():
        state[RANDOM[1]] = torch.cuda.get_rng_state()
    for name, parameter, optimizer, moments in moments_of(model, optimizers):
        for key, value in moments.items():
            told = isinstance(value, Tensor)
            wrong = _wrong(value, key, parameter) if told else f"as {type(value).__name__}"
            if wrong:
                raise UnsupportedError(
                    "an optimizer must remember tensors of the shape of each parameter, got "
                    f"{key}/{name} {wrong} in {type(optimizer).__name__}"
                )
            state[f"{key}/{name}"] = gathered(value).contiguous()
        if begun and not moments:
            state[f"{UNMOVED}/{name}"] = torch.zeros(0)
    return state


def moments_of(
    model: nn.Module, optimizers: Mapping[str, Optimizer]
) -> Iterator[tuple[str, Tensor, Optimizer, dict[str, Any]]]:
    """Yield each parameter with its name, its optimizer and what that remembers of it."""
    owners = owners_of(optimizers)
    for name, parameter in model.named_parameters():
        if parameter in owners:
            state = owners[parameter].state.get(parameter, {})
            moments = {key: value for key, value in state.items() if value is not None}
            yield name, parameter, owners[parameter], moments


def parse_state(
    state: dict[str, Tensor],
    model: nn.Module,
    optimizers: Mapping[str, Optimizer],
    path: Path,
    *,
    begun: bool,
) -> Remembered:
    """Check what a checkpoint holds beside the weights; a wrong shape would crash torch.

    Raises:
        RunError: It is not whole, or does not fit the model.
    """
    state = dict(state)
    random = {name: state.pop(name, None) for name in RANDOM}
    owners = owners_of(optimizers)
    learned = {name: x for name, x in model.named_parameters() if x in owners}
    keys = {each: _keys(each, learned, owners, state) for each in optimizers.values()}
    moments: dict[Tensor, dict[str, Tensor]] = {}
    for name, parameter in learned.items():
        wanted = [f"{key}/{name}" for key in keys[owners[parameter]]]
        missing = [key for key in wanted if key not in state]
        unmoved = state.pop(f"{UNMOVED}/{name}", None) is not None
        if missing and ((begun and not unmoved) or len(missing) < len(wanted)):
            raise RunError(f"{path} must hold the whole optimizer, got no {missing[0]}")
        for key in wanted if not missing else ():
            tensor, kind = state.pop(key), key.partition("/")[0]
            wrong = _wrong(tensor, kind, parameter)
            if wrong or not tensor.isfinite().all():
                wrong = wrong or "with what is no number"
                raise RunError(f"{path} must fit the model, got {key} {wrong}")
            moments.setdefault(parameter, {})[kind] = tensor
    if state:
        raise RunError(f"{path} must fit the model, got {min(state)!r:.80} besides")
    return Remembered(path, owners, moments, random)


def owners_of(optimizers: Mapping[str, Optimizer]) -> dict[Tensor, Optimizer]:
    """Return the optimizer of each parameter."""
    return {
        parameter: optimizer
        for optimizer in optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def _keys(
    optimizer: Optimizer, learned: Mapping[str, Tensor], owners: Owners, state: Mapping[str, Tensor]
) -> list[str]:
    """What this optimizer remembers of a parameter: the same of all, or nothing."""
    own = {name for name, parameter in learned.items() if owners[parameter] is optimizer}
    found = {key for key, _, name in (each.partition("/") for each in state) if name in own}
    known = MOMENTS if isinstance(optimizer, Adam) else ()  # AdamW is an Adam
    return [*known, *sorted(found - {*known, UNMOVED})]


def _wrong(tensor: Tensor, key: str, parameter: Tensor) -> str:
    """What is wrong with something remembered of a parameter, or nothing."""
    number = key in NUMBERS
    shape = () if number else tuple(parameter.shape)
    dtype = torch.get_default_dtype() if number else parameter.dtype
    if tuple(tensor.shape) != shape:
        return f"of shape {tuple(tensor.shape)} for {shape}"
    return f"as {tensor.dtype} for {dtype}" if tensor.dtype != dtype else ""


def _placed(tensor: Tensor, key: str, parameter: Tensor, optimizer: Optimizer) -> Tensor:
    """Beside the parameter; step counters only where the optimizer has them there."""
    if key != STEP:
        return spread_like(tensor.to(parameter.device), parameter)
    there = any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)
    return tensor.to(parameter.device) if there else tensor


def _draw_on(state: Tensor | None, restore: Callable[[Tensor], None], path: Path) -> None:
    """Go on with random numbers where they were."""
    if state is None:
        raise RunError(f"{path} must hold the whole optimizer, got no {RANDOM[0]}")
    try:
        restore(state)
    except (RuntimeError, TypeError) as error:
        raise RunError(
            f"{path} must hold a state of random numbers, got: {reason(error):.80}"
        ) from None
