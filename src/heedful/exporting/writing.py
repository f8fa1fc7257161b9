"""Models that write as two graphs: `start` reads and says the first token, `step` each next one."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from heedful.errors import UnsupportedError
from heedful.exporting.graph import Graph
from heedful.exporting.recording import Sizes
from heedful.exporting.states import counts_of, filled, masks_of, tensors_of

PAST = "past"  # the size of what grows by one with every token
STEPS = (2, 4, 3, 6, 1)  # tokens written before a case of `step`: sizes of the past
Begin = Callable[[tuple[Tensor, ...]], tuple[Tensor, Any]]
Advance = Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A model that writes token by token.

    Args:
        model: It.
        begin: From what is read to the logits of the first token and the state behind them.
        advance: From tokens and a state, which it changes, to the logits of the next ones.
        inputs: Names of what is read.
        words: What each axis of it is called, where that is known.
        longest: Tokens that the model has positions for; `None` means any number.
    """

    model: nn.Module
    begin: Begin
    advance: Advance
    inputs: tuple[str, ...]
    words: Sequence[Sequence[str | None]]
    longest: int | None


@dataclass(frozen=True, kw_only=True)
class Written:
    """Two graphs, and what goes from one to the other.

    Args:
        graphs: `start` and `step`.
        carried: Outputs of either that are inputs of the next `step`, by these names.
        kept: Outputs or inputs of `start` that are inputs of every `step`.
    """

    graphs: tuple[Graph, Graph]
    carried: Mapping[str, str]
    kept: tuple[str, ...]


@torch.no_grad()
def graphs_of_writer(writer: Writer, cases: Sequence[tuple[Tensor, ...]]) -> Written:
    """Return the graphs of a model that writes.

    Args:
        writer: It.
        cases: What it reads, in several sizes.

    Raises:
        UnsupportedError: What it remembers cannot be said as tensors.
    """
    sizes = Sizes()
    read = sizes.of_all(cases, writer.words)
    states, tokens = zip(*(_went_on(writer, case, n) for case, n in _with_steps(cases)), strict=True)
    layout = _Layout.of(writer, cases, states, tokens, sizes)
    step = _step_graph(writer, layout, states, tokens)
    layout = layout.without(_unread(step, layout))
    step = _step_graph(writer, layout, states, tokens)
    passed = [path for path in layout.leaves if layout.input(path) in writer.inputs]
    started = [path for path in layout.leaves if path not in passed]
    start = Graph(
        name="start",
        module=_Start(writer, started),
        inputs=writer.inputs,
        outputs=("logits", *(layout.output(path) for path in started)),
        cases=cases,
        axes=dict(zip(writer.inputs, read, strict=True)),
        largest=_largest(writer, [name for axes in read for name in axes.values()]),
    )
    changing = [path for path in layout.leaves if path in layout.changing]
    return Written(
        graphs=(start, step),
        carried={layout.output(path): layout.input(path) for path in changing},
        kept=tuple(layout.input(path) for path in layout.leaves if path not in layout.changing),
    )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where each tensor of a state stands.

    Args:
        template: A state after some tokens.
        batch: Its rows.
        leaves: Paths of the tensors that a step reads.
        changing: Those that a step replaces.
        axes: Of every tensor: axis -> name of its size, where that is not fixed.
        counting: Paths of numbers that count tokens.
        shapes: Of every tensor of the template.
        names: What each tensor is called in a graph.
    """

    template: Any
    batch: int
    leaves: tuple[str, ...]
    changing: frozenset[str]
    axes: Mapping[str, Mapping[int, str]]
    counting: tuple[str, ...]
    shapes: Mapping[str, Tensor]
    names: Mapping[str, str]

    @classmethod
    def of(
        cls,
        writer: Writer,
        cases: Sequence[tuple[Tensor, ...]],
        states: Sequence[Any],
        tokens: Sequence[Tensor],
        sizes: Sizes,
    ) -> "_Layout":
        template, batch = states[0], len(tokens[0])
        found = [tensors_of(state, len(rows)) for state, rows in zip(states, tokens, strict=True)]
        later = filled(template, batch, found[0], {})
        writer.advance(tokens[0], later)
        after, masks = tensors_of(later, batch), masks_of(template)
        first, second = counts_of(template), counts_of(later)
        axes = {
            path: _axes([each[path] for each in found], after[path], sizes) for path in found[0]
        }
        return cls(
            template=template,
            batch=batch,
            leaves=tuple(path for path, x in found[0].items() if x.numel()),
            changing=frozenset(
                path for path, x in found[0].items() if after[path] is not x and path not in masks
            ),
            axes=axes,
            counting=tuple(path for path, count in first.items() if second[path] != count),
            shapes=found[0],
            names={path: _name(path, [x[path] for x in found], writer, cases) for path in found[0]},
        )

    def without(self, unread: Sequence[str]) -> "_Layout":
        kept = tuple(path for path in self.leaves if path not in unread)
        return _Layout(**{**vars(self), "leaves": kept})

    def place_of_past(self) -> tuple[int, int] | None:
        """Which leaf, and which of its axes, tells how many tokens there are."""
        for place, path in enumerate(self.leaves):
            for axis, name in self.axes[path].items():
                if name == PAST:
                    return place, axis
        return None

    def input(self, path: str) -> str:
        return f"past_{self.names[path]}" if path in self.changing else self.names[path]

    def output(self, path: str) -> str:
        return f"present_{self.names[path]}" if path in self.changing else self.names[path]

    def state(self, tokens: Tensor, leaves: Sequence[Tensor], count: Any) -> Any:
        """A state that holds these leaves; what no step reads is 0."""
        given = dict(zip(self.leaves, leaves, strict=True))
        known = {"batch": tokens.shape[0], PAST: count}
        for path, leaf in given.items():
            known |= {name: leaf.shape[axis] for axis, name in self.axes[path].items()}
        for path, like in self.shapes.items():
            if path not in given:
                named = self.axes[path]
                shape = [known.get(named[a], 1) if a in named else n for a, n in enumerate(like.shape)]
                given[path] = torch.zeros(shape, dtype=like.dtype, device=tokens.device)
        return filled(self.template, self.batch, given, dict.fromkeys(self.counting, count))


class _Start(nn.Module):
    """From what is read to the first logits and the state behind them."""

    def __init__(self, writer: Writer, leaves: Sequence[str]) -> None:
        super().__init__()
        self.model = writer.model
        self.writer, self.leaves = writer, leaves

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        logits, state = self.writer.begin(inputs)
        found = tensors_of(state, logits.shape[0])
        return logits, *(found[path] for path in self.leaves)


class _Step(nn.Module):
    """From a token of each row and a state to the next logits and the state behind them."""

    def __init__(self, writer: Writer, layout: _Layout) -> None:
        super().__init__()
        self.model = writer.model
        self.writer, self.layout, self.past = writer, layout, layout.place_of_past()

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        tokens, *leaves = given
        if self.past is None:
            position, *leaves = leaves
            count: Any = position.item()
            torch._check(count >= 1)  # pyright: ignore[reportPrivateUsage]
        else:
            count = leaves[self.past[0]].shape[self.past[1]]
        state = self.layout.state(tokens, leaves, count)
        logits = self.writer.advance(tokens, state)
        found = tensors_of(state, tokens.shape[0])
        return logits, *(found[path] for path in self.layout.leaves if path in self.layout.changing)


def _step_graph(
    writer: Writer, layout: _Layout, states: Sequence[Any], tokens: Sequence[Tensor]
) -> Graph:
    positions = () if layout.place_of_past() is not None else ("position",)
    inputs = ("tokens", *positions, *(layout.input(path) for path in layout.leaves))
    cases: list[tuple[Tensor, ...]] = []
    for state, written in zip(states, tokens, strict=True):
        found = tensors_of(state, len(written))
        counts = counts_of(state)
        position = [torch.tensor(counts[layout.counting[0]])] if positions else []
        cases.append((written, *position, *(found[path] for path in layout.leaves)))
    axes = {layout.input(path): layout.axes[path] for path in layout.leaves}
    changing = [path for path in layout.leaves if path in layout.changing]
    sizes = [name for named in axes.values() for name in named.values()]
    return Graph(
        name="step",
        module=_Step(writer, layout),
        inputs=inputs,
        outputs=("logits", *(layout.output(path) for path in changing)),
        cases=cases,
        axes={"tokens": {0: "batch"}, **axes},
        largest=_largest(writer, sizes),
    )


def _went_on(writer: Writer, case: tuple[Tensor, ...], steps: int) -> tuple[Any, Tensor]:
    """The state after some tokens, and the tokens that come next."""
    logits, state = writer.begin(case)
    for _ in range(steps):
        tokens = logits.argmax(-1)
        logits = writer.advance(tokens, state)
    return state, logits.argmax(-1)


def _with_steps(cases: Sequence[tuple[Tensor, ...]]) -> list[tuple[tuple[Tensor, ...], int]]:
    return [(case, STEPS[place % len(STEPS)]) for place, case in enumerate(cases)]


def _unread(graph: Graph, layout: _Layout) -> list[str]:
    """Which leaves change nothing, whatever they hold: not even NaN is heard of."""
    case = graph.cases[0]
    want = graph.run(case)
    unread: list[str] = []
    for place, path in enumerate(layout.leaves, len(case) - len(layout.leaves)):
        if not case[place].is_floating_point():
            continue
        spoilt = [*case[:place], torch.full_like(case[place], torch.nan), *case[place + 1 :]]
        if all(map(torch.equal, graph.run(tuple(spoilt)), want)):
            unread.append(path)
    return unread


def _largest(writer: Writer, sizes: Sequence[str]) -> dict[str, int]:
    longest = writer.longest
    if longest is None:
        return {}
    return {name: longest - (name == PAST) for name in sizes if name != "batch"}


def _axes(seen: Sequence[Tensor], after: Tensor, sizes: Sizes) -> dict[int, str]:
    """Which axes of a tensor have any size; one that a step makes longer is the past."""
    names: dict[int, str] = {}
    for axis, size in enumerate(seen[0].shape):
        grew = after.shape[axis] != size
        name = PAST if grew else sizes.of([each.shape[axis] for each in seen])
        if name is not None:
            names[axis] = name
    return names


def _name(
    path: str, seen: Sequence[Tensor], writer: Writer, cases: Sequence[tuple[Tensor, ...]]
) -> str:
    """What a tensor of a state is called: as the input that it is, else by its place."""
    for place, name in enumerate(writer.inputs):
        if all(torch.equal(case[place], each) for case, each in zip(cases, seen, strict=True)):
            return name
    name = path.removeprefix("inner_")
    name = re.sub(r"^caches_(\d+)_0_", r"layer_\1_self_", name)
    name = re.sub(r"^caches_(\d+)_1_", r"layer_\1_cross_", name)
    name = re.sub(r"^(\d+)_", r"layer_\1_", re.sub(r"^mask$", "lengths", name))
    return f"read_{name}" if name in writer.inputs else name
