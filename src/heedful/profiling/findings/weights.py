"""Attention weights that are computed, returned, and read by nobody."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from heedful.allocation.attached import copied
from heedful.optimizing.problem import Problem
from heedful.profiling.findings.finding import Finding, faster_by, worth_it

ROUNDINGS = 1e4  # of float32: two ways to compute attention differ by no more


class Unasked(nn.Module):
    """`nn.MultiheadAttention` that is never asked for its weights.

    Args:
        inner: What is called.
    """

    def __init__(self, inner: nn.MultiheadAttention) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """Attend without weights, whatever is asked."""
        if len(inputs) > 4:  # query, key, value, mask of padding, then this
            inputs = (*inputs[:4], False, *inputs[5:])
        else:
            settings["need_weights"] = False
        return self.inner(*inputs, **settings)

    def __getattr__(self, name: str) -> Any:
        """What is asked of the module that it stands for."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


def unread_weights(problem: Problem) -> Finding | None:
    """Find weights that change nothing: the model says the same where they are not computed.

    Args:
        problem: Whose model is looked at.
    """
    config: Any = getattr(problem.model, "config", None)
    if getattr(config, "output_attentions", False):
        return _of_config(problem)
    asked = _asked(problem)
    if not asked:
        return None
    model = copied(problem.model)
    for name in asked:
        parent, _, last = name.rpartition(".")
        inner = cast(nn.MultiheadAttention, model.get_submodule(name))
        setattr(model.get_submodule(parent), last, Unasked(inner))
    if not _says_the_same(problem, model):
        return None
    gain = faster_by(problem, model)
    if not worth_it(gain):
        return None
    return Finding(
        name="unread_weights",
        text=f"{len(asked)} modules of nn.MultiheadAttention compute attention weights that nobody "
        f"reads; without them the work is {gain} faster",
        remedy="call them with need_weights=False",
        gain=gain.median,
    )


def _of_config(problem: Problem) -> Finding | None:
    model: Any = copied(problem.model)
    model.config.output_attentions = False
    gain = faster_by(problem, model)
    if not worth_it(gain):
        return None
    return Finding(
        name="unread_weights",
        text="the config asks for all attention weights, which are no part of the answer; without "
        f"them the work is {gain} faster",
        remedy="model.config.output_attentions = False",
        gain=gain.median,
    )


def _asked(problem: Problem) -> list[str]:
    """Modules that return weights when the model does its work."""
    found: dict[str, None] = {}

    def heard(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if output[1] is not None:
                found[name] = None

        return hook

    hooks = [
        module.register_forward_hook(heard(name))
        for name, module in problem.model.named_modules()
        if type(module) is nn.MultiheadAttention and name
    ]
    try:
        with torch.inference_mode():
            problem.outputs(problem.model, problem.calibration[0])
    finally:
        for hook in hooks:
            hook.remove()
    return list(found)


@torch.inference_mode()
def _says_the_same(problem: Problem, model: nn.Module) -> bool:
    wanted = problem.outputs(problem.model, problem.calibration[0])
    try:
        found = problem.outputs(model, problem.calibration[0])
    except Exception:  # the weights are read, and None is none
        return False
    return _near(found, wanted)


def _near(found: Tensor, wanted: Tensor) -> bool:
    bound = ROUNDINGS * torch.finfo(torch.float32).eps * wanted.abs().amax()
    return found.shape == wanted.shape and bool(((found - wanted).abs() <= bound).all())
