"""Numbers of 32 bits where 16 are faster on this machine."""

from typing import Any

import torch
from torch import Tensor, nn

from heedful.allocation.attached import copied
from heedful.optimizing.problem import Problem, divergence
from heedful.profiling.findings.finding import Finding, faster_by, worth_it


def fewer_bits(problem: Problem) -> Finding | None:
    """Find whether the whole model is faster in bfloat16, and how far its outputs move.

    Args:
        problem: Whose model is looked at.
    """
    if next(problem.model.parameters()).dtype is not torch.float32:
        return None
    model = copied(problem.model).bfloat16()
    model.register_forward_pre_hook(_lowered, with_kwargs=True)
    try:
        moved = _moved(problem, model)
        gain = faster_by(problem, model)
    except (RuntimeError, TypeError):  # an operation that has no bfloat16, or mixes types
        return None
    if not worth_it(gain):
        return None
    return Finding(
        name="precision",
        text=f"the model is in float32; in bfloat16 the work is {gain} faster here, and its "
        f"outputs move by {moved}",
        remedy="model.to(torch.bfloat16), or heedful optimize, which verifies it",
        gain=gain.median,
    )


def _lowered(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The inputs of a model, with numbers in its own precision."""

    def lower(value: Any) -> Any:
        numbers = isinstance(value, Tensor) and value.is_floating_point()
        return value.bfloat16() if numbers else value

    return tuple(map(lower, inputs)), {name: lower(value) for name, value in named.items()}


@torch.inference_mode()
def _moved(problem: Problem, model: nn.Module) -> str:
    batch: Any = problem.calibration[0]
    said, wanted = (problem.outputs(each, batch) for each in (model, problem.model))
    far = divergence(problem.kind, said, wanted).item()
    return f"{far:.1e} nats" if problem.kind == "logits" else f"{far:.1e} of their variance"
