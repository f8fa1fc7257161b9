"""How a task calls its model: real calls, heard while it answers examples of its run."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from heedful.errors import UnsupportedError
from heedful.probing.replace import replaced
from heedful.tasks.base import Task

ENTRIES = ("start", "advance", "heard", "forward")  # what models are called by
SIZES = (
    3,
    5,
    2,
    4,
    1,
)  # examples that are answered at a time: of an axis of any size, several are seen


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a model.

    Args:
        entry: By which of its methods.
        args: What it got, by position.
        kwargs: What it got, by name.
    """

    entry: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, in order."""
        leaves = _pytree.tree_leaves((self.args, self.kwargs))
        return tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))


def record(task: Task[Any, Any], model: nn.Module, examples: Sequence[Any]) -> list[Call]:
    """Answer a few examples, some at a time, and return how the model was called.

    Args:
        task: Answers.
        model: In evaluation mode.
        examples: Of the run.

    Raises:
        UnsupportedError: The model was never called.
    """
    calls: list[Call] = []
    with ExitStack() as stack, torch.no_grad():
        for entry in ENTRIES:
            if callable(getattr(model, entry, None)):
                stack.enter_context(replaced(model, entry, _heard(model, entry, calls)))
        for rows in _batches(examples):
            task.answer(model, task.encode(rows))
    calls = [
        call for call in calls if call.tensors
    ]  # `start()` of a text without a prompt reads none
    if not calls:
        raise UnsupportedError(
            f"a task must call its model by {', '.join(ENTRIES)} to be exported, got none of them"
        )
    return calls


def names_of(function: Callable[..., Any], call: Call) -> tuple[list[str], list[list[str | None]]]:
    """Return what the tensors of a call are called, and what each of their axes is.

    Args:
        function: What was called.
        call: With what.

    Returns:
        A name for each tensor, and for each axis the name that the signature gives it.
    """
    bound = inspect.signature(function).bind_partial(*call.args, **call.kwargs)
    hints = inspect.signature(function).parameters
    names: list[str] = []
    axes: list[list[str | None]] = []
    for parameter, value in bound.arguments.items():
        said = getattr(hints[parameter].annotation, "dim_str", "").split()
        for path, leaf in _pytree.tree_flatten_with_path(value)[0]:
            if not isinstance(leaf, Tensor):
                continue
            names.append("_".join([parameter, *(_word(key) for key in path)]))
            known = said if not path and len(said) == leaf.ndim else [None] * leaf.ndim
            axes.append([word if word and word.isidentifier() else None for word in known])
    return names, axes


class Sizes:
    """Names for sizes that differ: axes that always had one size between them are one."""

    def __init__(self) -> None:
        self._named: dict[tuple[int, ...], str] = {}

    def of(self, seen: Sequence[int], word: str | None = None) -> str | None:
        """Return the name of the size that an axis had in several calls; `None`: it is fixed.

        Args:
            seen: What it was, call by call.
            word: What the axis is called, where that is known. The first one is the batch.
        """
        if len(set(seen)) < 2:
            return None
        key = tuple(seen)
        if key not in self._named:
            name = word or ("length" if self._named else "batch")
            taken = set(self._named.values())
            numbers = range(2, len(taken) + 3)
            self._named[key] = next(
                one for one in (name, *(f"{name}_{n}" for n in numbers)) if one not in taken
            )
        return self._named[key]

    def of_all(
        self, cases: Sequence[Sequence[Tensor]], words: Sequence[Sequence[str | None]]
    ) -> list[dict[int, str]]:
        """Return the axes of any size of each tensor, by the names of their sizes.

        Args:
            cases: The same tensors of several calls.
            words: What each axis of each tensor is called, where that is known.
        """
        found: list[dict[int, str]] = []
        for place, known in enumerate(words):
            mine = {
                axis: self.of([case[place].shape[axis] for case in cases], word)
                for axis, word in enumerate(known)
            }
            found.append({axis: name for axis, name in mine.items() if name is not None})
        return found


def _batches(examples: Sequence[Any]) -> list[list[Any]]:
    rows = list(examples)
    found: list[list[Any]] = []
    for size in SIZES:
        if rows[:size]:
            found.append(rows[:size])
        rows = rows[size:] + rows[:size]
    return found


def _heard(model: nn.Module, entry: str, calls: list[Call]) -> Callable[..., Any]:
    original = getattr(model, entry)

    def hear(*args: Any, **kwargs: Any) -> Any:
        # what a state held at the time of a call is gone at the next one: only what is given counts
        calls.append(Call(entry=entry, args=args, kwargs=kwargs))
        return original(*args, **kwargs)

    return hear


def _word(key: Any) -> str:
    for name in ("name", "key", "idx"):
        if hasattr(key, name):
            return str(getattr(key, name))
    return str(key)
