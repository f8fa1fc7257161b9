"""From a run to the graphs of its model, with real inputs of the run's data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from heedful.errors import UnsupportedError
from heedful.exporting.full_precision import in_full
from heedful.exporting.graph import Graph
from heedful.exporting.recording import Call, Sizes, names_of, record
from heedful.exporting.state_layout import Writer
from heedful.exporting.states import joined
from heedful.exporting.writing import graphs_of_writer
from heedful.tasks.base import Task
from heedful.tasks.spread import spread_by_size
from heedful.training.run import Run

FEW = 15  # examples that graphs are tried with


@dataclass(frozen=True, kw_only=True)
class RunGraphs:
    """All graphs of a run, and how they work together.

    Args:
        graphs: One, or `start` and `step`.
        carried: Outputs that are inputs of the next `step`.
        kept: Outputs of `start` that are inputs of every `step`.
        rounded: Layers of few bits, whose weights are rounded as they were but multiply in full.
    """

    graphs: tuple[Graph, ...]
    carried: Mapping[str, str] = field(default_factory=dict[str, str])
    kept: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ()


def graphs_of_run(run: Run, *, int8: bool = False) -> RunGraphs:
    """Return the graphs of a run, with inputs of its held-out examples.

    They are spread over the sizes that there are, the smallest and the largest among them.

    Args:
        run: Never changed.
        int8: As for `graphs_of`.

    Raises:
        UnsupportedError: As for `graphs_of`.
    """
    examples = [*run.examples("test"), *run.examples("dev")]
    # an axis that had one size in all calls is fixed: the first few may be as long as each other
    smallest, *others = spread_by_size(run.task, examples, count=FEW, ends=True)
    few = [*others, smallest]  # the last one is answered alone: no other one pads it
    return graphs_of(run.task, run.model, few, int8=int8)


def graphs_of(
    task: Task[Any, Any], trained: nn.Module, examples: Sequence[Any], *, int8: bool = False
) -> RunGraphs:
    """Return the graphs of the model of a task.

    Args:
        task: Calls the model.
        trained: In evaluation mode, on the CPU; never changed.
        examples: A few real ones.
        int8: As for `in_full`.

    Raises:
        UnsupportedError: The task calls its model with something else than tensors, or there is no
            layer of int8 where there must be.
    """
    model, rounded = in_full(trained, int8=int8)
    calls = record(task, model, examples)
    entry = calls[0].entry
    calls = [call for call in calls if call.entry == entry]
    if entry == "advance":
        calls = [Call(entry=entry, args=call.args[:1], kwargs={}) for call in calls]
    names, words = names_of(getattr(model, entry), calls[0])
    cases = _cases(calls)
    if entry in ("start", "advance"):
        longest = getattr(model, "longest", None) if entry == "start" else None
        begin, advance = _seq2seq(model) if entry == "start" else _continuing(model)
        writer = Writer(
            model=model,
            begin=begin,
            advance=advance,
            inputs=tuple(names),
            words=words,
            longest=longest,
            longest_read=longest,
        )
        made = graphs_of_writer(writer, cases)
        return RunGraphs(
            graphs=made.graphs, carried=made.carried, kept=made.kept, rounded=tuple(rounded)
        )
    return RunGraphs(
        graphs=(_forward(model, calls[0], cases, names, words),), rounded=tuple(rounded)
    )


class _Forward(nn.Module):
    """A model called by one of its methods, with tensors in order and a tuple of them back."""

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__()
        self.model, self.entry = model, call.entry
        self.leaves, self.spec = _pytree.tree_flatten((call.args, call.kwargs))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        args, kwargs = _pytree.tree_unflatten(leaves, self.spec)
        return tuple(
            tensor for _, tensor in _named(getattr(self.model, self.entry)(*args, **kwargs))
        )


def _forward(
    model: nn.Module,
    call: Call,
    cases: list[tuple[Tensor, ...]],
    names: list[str],
    words: list[list[str | None]],
) -> Graph:
    module = _Forward(model, call)
    with torch.no_grad():
        said = _named(getattr(model, call.entry)(*call.args, **call.kwargs))
    axes = Sizes().of_all(cases, words)
    longest = getattr(model, "longest", None)
    sizes = {name for named in axes for name in named.values()} - {"batch"}
    return Graph(
        name="model",
        module=module,
        inputs=tuple(names),
        outputs=tuple(name for name, _ in said),
        cases=cases,
        axes=dict(zip(names, axes, strict=True)),
        largest=dict.fromkeys(sizes, longest) if isinstance(longest, int) else {},
    )


def _named(said: Any) -> list[tuple[str, Tensor]]:
    """The tensors of what a model says, each by a name."""
    found: list[tuple[str, Tensor]] = []
    for path, leaf in _pytree.tree_flatten_with_path(said)[0]:
        if isinstance(leaf, Tensor):
            words = [
                str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))))
                for key in path
            ]
            word = "_".join(words)
            found.append((f"output_{word}" if word[:1].isdigit() else word or "output", leaf))
    return found


def _cases(calls: list[Call]) -> list[tuple[Tensor, ...]]:
    """The tensors of every call, the one to be traced first: no size of it may be 1."""
    constant = [
        [x for x in _pytree.tree_leaves((c.args, c.kwargs)) if not isinstance(x, Tensor)]
        for c in calls
    ]
    if any(each != constant[0] for each in constant):
        raise UnsupportedError(
            f"a model must be called with tensors alone to be exported, got {constant[0]!r:.200}"
        )
    cases = [tuple(x.clone() for x in call.tensors) for call in calls]  # no inference tensors
    return sorted(
        cases, key=lambda case: min((n for x in case for n in x.shape), default=1), reverse=True
    )


def _seq2seq(model: Any) -> Any:
    from heedful.data.tokens import BOS

    def begin(inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        state = joined(model.start(*inputs))
        tokens = torch.full((inputs[0].shape[0],), BOS, device=inputs[0].device)
        return model.step(tokens, state), state

    return begin, model.step


def _continuing(model: Any) -> Any:
    def begin(inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        state = joined(model.start())
        return model.advance(inputs[0], state), state

    def advance(tokens: Tensor, state: Any) -> Tensor:
        return model.advance(tokens[:, None], state)

    return begin, advance
