"""Interface between one library's attention and `probe`."""

import abc
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from heedful.errors import UnsupportedError
from heedful.probing.call import CaptureOptions, ProbedCall

Arrange = Callable[[Tensor], Tensor]


def unchanged(tensor: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor


class Recording:
    """The captured calls of each site, and why a site has none.

    Args:
        names: The chosen sites.
        options: Which heads and rows of each call are kept, and where.
    """

    def __init__(self, names: list[str], options: CaptureOptions) -> None:
        self.calls: dict[str, list[ProbedCall]] = {name: [] for name in names}
        self.options = options
        self.unavailable: dict[str, str] = {}
        self.failures: dict[str, int] = {}
        self._passed: dict[str, int] = {}  # calls of a site of which there was enough

    def count(self, name: str) -> int:
        """How many calls of this site were heard, those that were not kept included."""
        return len(self.calls[name]) + self.failures.get(name, 0) + self._passed.get(name, 0)

    def record(
        self,
        name: str,
        keep: Callable[[], ProbedCall],
        output: Tensor,
        arrange: Arrange = unchanged,
    ) -> None:
        """Keep a call, or the reason why it is not supported; the model goes on as it would.

        Args:
            name: Of the site.
            keep: Makes the call.
            output: What the model goes on with, whose gradient is kept where that is asked for.
            arrange: From a tensor like `output` to one like `ProbedCall.output`.
        """
        if self._has_enough(name):
            self._passed[name] = self._passed.get(name, 0) + 1
            return
        try:
            with torch.no_grad():
                call = keep()
        except UnsupportedError as error:
            self.unavailable[name] = str(error)
            self.failures[name] = self.failures.get(name, 0) + 1
            return
        self.calls[name].append(call)
        if self.options.gradients and output.requires_grad:
            output.register_hook(partial(_keep_gradient, call, arrange))

    def _has_enough(self, name: str) -> bool:
        enough = self.options.enough_rows
        if enough is None:
            return False
        return sum(call.shape[0] * call.shape[2] for call in self.calls[name]) >= enough

    def close(self) -> None:
        """Give sites that were never called that reason."""
        for name, calls in self.calls.items():
            if not calls and name not in self.unavailable:
                self.unavailable[name] = "it was not called while the probe was open"


def _keep_gradient(call: ProbedCall, arrange: Arrange, gradient: Tensor) -> None:
    call.gradients.append(arrange(gradient.detach()).clone())


class ProbeAdapter(abc.ABC):
    """Captures the attention modules of one library. Subclasses are final."""

    @abc.abstractmethod
    def claims(self, module: nn.Module) -> bool:
        """Can this adapter capture the module?"""

    @abc.abstractmethod
    def attach(
        self,
        model: nn.Module,
        sites: Mapping[nn.Module, str],
        recording: Recording,
        stack: ExitStack,
    ) -> None:
        """Record the calls of these sites from now on; `stack` undoes it."""
