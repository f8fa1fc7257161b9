"""One graph of a model: what goes in, what comes out, and which axes may have any size."""

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import get_decompositions

from heedful.errors import HeedfulError, UnsupportedError
from heedful.files import reason

Tensors = tuple[Tensor, ...]
Axes = Mapping[str, Mapping[int, str]]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What other programs run as one piece.

    Args:
        name: Of its file.
        module: Takes the inputs in order and returns a tuple of the outputs.
        inputs: Their names.
        outputs: Their names.
        cases: Real inputs of several sizes. The first is what is traced: no axis of any size is 1.
        axes: Of the inputs: name -> axis -> the name of its size. Axes not named are fixed.
        largest: Sizes that go no further, by name.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    cases: Sequence[Tensors]
    axes: Axes
    largest: Mapping[str, int] = field(default_factory=dict[str, int])

    @torch.no_grad()
    def run(self, case: Tensors) -> Tensors:
        """Return what torch says."""
        return self.module(*case)

    @torch.no_grad()
    def program(self, *, plain: bool = True) -> Any:
        """Return the `torch.export.ExportedProgram`.

        Args:
            plain: In operations of torch alone? Else the native kernel's may be among them.

        Raises:
            UnsupportedError: What the module does depends on more than a graph can say.
        """
        try:
            traced = self._traced()
            return traced.run_decompositions(_plain()) if plain else traced
        except HeedfulError:
            raise
        except Exception as error:  # torch raises what it likes where tracing ends
            sizes = sorted({name for axes in self.axes.values() for name in axes.values()})
            raise UnsupportedError(
                f"{self.name} must be a graph for any {' and '.join(sizes) or 'input'}, "
                f"got: {told(error, self.module)}"
            ) from error

    def _traced(self) -> Any:
        try:
            return torch.export.export(self.module, self.cases[0], **self._told(least=False))
        except HeedfulError:
            raise
        except Exception:  # torch has a class for it that is not public
            # What is always true, such as `n + 1 == min(n + 1, 2 n + 2)`, torch cannot always see.
            # Then it is asked of every call: whoever takes the program must try all its cases.
            return torch.export.export(
                self.module,
                self.cases[0],
                prefer_deferred_runtime_asserts_over_guards=True,
                **self._told(least=True),
            )

    def _told(self, *, least: bool) -> dict[str, Any]:
        """What torch is told of the sizes: from 1 on, or from the least that any case has."""
        smallest: dict[str, int] = {}
        for case in self.cases if least else ():
            for name, x in zip(self.inputs, case, strict=True):
                for axis, size in self.axes.get(name, {}).items():
                    smallest[size] = min(smallest.get(size, x.shape[axis]), x.shape[axis])
        names = sorted({name for axes in self.axes.values() for name in axes.values()})
        dims = {
            name: torch.export.Dim(
                name, min=max(1, smallest.get(name, 1)), max=self.largest.get(name)
            )
            for name in names
        }
        shapes = tuple(
            {axis: dims[size] for axis, size in self.axes.get(name, {}).items()}
            for name in self.inputs
        )
        return {"dynamic_shapes": (shapes,), "strict": False}


def _plain() -> dict[Any, Any]:
    """What stands for the native kernel's operator where nobody has it."""
    ours = getattr(torch.ops.heedful, "attend", None)
    return {} if ours is None else dict(get_decompositions([ours.default]))


def told(error: BaseException, module: nn.Module) -> str:
    """What torch says, without the pages around it, and in which part of a module it says so."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    names = {id(part): name for name, part in module.named_modules() if name}
    frames = [frame for one in (error, first) for frame, _ in traceback.walk_tb(one.__traceback__)]
    parts = [names.get(id(frame.f_locals.get("self"))) for frame in frames]
    place = next((name.removeprefix("model.") for name in reversed(parts) if name), None)
    words = re.sub(r"\x1b\[\d*m", "", reason(first)).strip().splitlines() or [""]
    said = (words[0].strip() or type(first).__name__)[:200]
    return said if place in (None, "model") else f"{place}: {said}"
