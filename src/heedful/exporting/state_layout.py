"""Where each tensor of what a model remembers stands among a graph's inputs and outputs."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from heedful.exporting.recording import Sizes
from heedful.exporting.states import counts_of, filled, masks_of, tensors_of

PAST = "past"  # the size of what grows by one with every token
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
        longest: Tokens that it can write; `None` means any number.
        longest_read: Tokens that it can read.
        words: What each axis of what is read is called, where that is known. `None`: of none.
    """

    model: nn.Module
    begin: Begin
    advance: Advance
    inputs: tuple[str, ...]
    longest: int | None
    longest_read: int | None
    words: Sequence[Sequence[str | None]] | None = None


@dataclass(frozen=True, kw_only=True)
class StateLayout:
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
    ) -> "StateLayout":
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

    def without(self, unread: Sequence[str]) -> "StateLayout":
        return replace(self, leaves=tuple(path for path in self.leaves if path not in unread))

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
        known: dict[str, Any] = {"batch": tokens.shape[0], PAST: count}
        for path, leaf in given.items():
            known |= {name: leaf.shape[axis] for axis, name in self.axes[path].items()}
        for path, like in self.shapes.items():
            if path not in given:
                named = self.axes[path]
                shape = [
                    known.get(named[a], 1) if a in named else n for a, n in enumerate(like.shape)
                ]
                given[path] = torch.zeros(shape, dtype=like.dtype, device=tokens.device)
        return filled(self.template, self.batch, given, {path: count for path in self.counting})


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
    name = re.sub(r"^caches_(\d+)_", r"layer_\1_", name)
    name = re.sub(r"^(\d+)_", r"layer_\1_", re.sub(r"^mask$", "lengths", name))
    return f"read_{name}" if name in writer.inputs else name
