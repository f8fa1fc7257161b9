"""Models that write as two graphs: `start` reads and says the first token, `step` each next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from heedful.exporting.graph import Graph
from heedful.exporting.recording import Sizes
from heedful.exporting.state_layout import PAST, StateLayout, Writer
from heedful.exporting.states import counts_of, tensors_of

STEPS = (2, 4, 3, 6, 1)  # tokens written before a case of `step`: sizes of the past


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
    words = [[None] * x.ndim for x in cases[0]] if writer.words is None else writer.words
    read = sizes.of_all(cases, words)
    states, tokens = zip(
        *(_went_on(writer, case, n) for case, n in _with_steps(cases)), strict=True
    )
    layout = StateLayout.of(writer, cases, states, tokens, sizes)
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

    def __init__(self, writer: Writer, layout: StateLayout) -> None:
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
    writer: Writer, layout: StateLayout, states: Sequence[Any], tokens: Sequence[Tensor]
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


def _unread(graph: Graph, layout: StateLayout) -> list[str]:
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
    found = {
        name: writer.longest_read if name != PAST else writer.longest and writer.longest - 1
        for name in sizes
        if name != "batch"
    }
    return {name: size for name, size in found.items() if size is not None}
