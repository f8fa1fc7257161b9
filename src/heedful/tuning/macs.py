"""How many multiply-adds attention takes, counted while a model runs."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from heedful.nn.aligners import Aligner
from heedful.probing.replace import replaced
from heedful.probing.sites import find_sites
from heedful.profiling.multiply_adds import MultiplyAdds
from heedful.tasks.base import Task, device_of


def attending(task: Task[Any, Any], model: nn.Module, example: Any) -> list[str]:
    """Return the names of all modules that attend, whoever wrote them, found by running the model.

    Args:
        task: Of the model.
        model: With any weights.
        example: What it works on.
    """
    sites, unknown = find_sites(model, partial(_work, task, example))
    return [*(site.name for site in sites), *unknown]


def attention_macs(
    task: Task[Any, Any], model: nn.Module, examples: Sequence[Any], *, sites: Sequence[str]
) -> float:
    """Count the multiply-adds of all attention, projections included, for one example.

    Whatever is multiplied and summed up counts, whether or not a mask hides it. All decisions of an
    example are made at once where the task can do so, as in training: a decoder that answers step
    by step and keeps keys and values takes about half the products among its own positions.

    Args:
        task: Of the model.
        model: In evaluation mode, with any weights.
        examples: At least one; the mean over them is returned.
        sites: The modules that attend, as `attending` returns them.
    """
    with ExitStack() as stack, torch.no_grad():
        stack.callback(torch.backends.mha.set_fastpath_enabled, _fastpath())
        torch.backends.mha.set_fastpath_enabled(False)  # no formula knows the fused layers
        counter = stack.enter_context(_Counter())
        for name in sites:
            counter.watch(model.get_submodule(name), stack)
        for example in examples:
            _work(task, example, model)
    return counter.macs / len(examples)


def _fastpath() -> bool:
    return torch.backends.mha.get_fastpath_enabled()


def _work(task: Task[Any, Any], example: Any, model: nn.Module) -> object:
    """Let a model work on an example: as much whatever its weights say, where the task can."""
    data = task.encode([example])
    if type(task).rows is not Task.rows:
        return task.rows(model, data.batch([0], device_of(model)))
    if type(task).loss is not Task.loss:
        return task.loss(model, data.batch([0], device_of(model)))
    return task.answer(model, data)


class _Counter(MultiplyAdds):
    """Adds up multiply-adds while one of the modules that it watches works."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def counts(self) -> bool:
        """Is one of the modules at work?"""
        return self.depth > 0

    def watch(self, module: nn.Module, stack: ExitStack) -> None:
        """Count what a module takes from now on."""
        methods = ("forward", "prepare") if isinstance(module, Aligner) else ("forward",)
        for name in methods:
            stack.enter_context(replaced(module, name, self._counted(getattr(module, name))))
        if isinstance(module, Aligner):
            self._count_sums(module, stack)

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            try:
                return call(*args, **kwargs)
            finally:
                self.depth -= 1

        return counted

    def _count_sums(self, module: nn.Module, stack: ExitStack) -> None:
        """Count what a decoder does with the weights of its aligner: to sum up the states."""
        prepare: Callable[[Tensor], Tensor] = getattr(module, "prepare")  # noqa: B009
        forward = module.forward
        width = 0

        def prepared(keys: Tensor) -> Tensor:
            nonlocal width
            width = keys.shape[-1]
            return prepare(keys)

        def weighted(*args: Any, **kwargs: Any) -> Tensor:
            weights = forward(*args, **kwargs)
            self.macs += weights.numel() * width
            return weights

        stack.enter_context(replaced(module, "prepare", prepared))
        stack.enter_context(replaced(module, "forward", weighted))
