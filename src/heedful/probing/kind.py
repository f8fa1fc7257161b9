"""What a kind of attention must tell, so that a probe can hear its sites."""

import abc
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import nn

from heedful.errors import UnsupportedError
from heedful.probing.call import Call, Wanted


class Hearing:
    """What was heard of each site, and why of some nothing can be.

    Args:
        names: The chosen sites.
        wanted: What of each call is kept.
    """

    def __init__(self, names: list[str], wanted: Wanted) -> None:
        self.calls: dict[str, list[Call]] = {name: [] for name in names}
        self.wanted = wanted
        self.silent: dict[str, str] = {}
        self.misunderstood: dict[str, int] = {}

    def heard(self, name: str) -> int:
        """How often something of this site was noted, understood or not."""
        return len(self.calls[name]) + self.misunderstood.get(name, 0)

    def note(self, name: str, keep: Callable[[], Call]) -> None:
        """Keep a call, or the reason why it cannot be understood; the model goes on as it would."""
        try:
            with torch.no_grad():
                self.calls[name].append(keep())
        except UnsupportedError as error:
            self.silent[name] = str(error)
            self.misunderstood[name] = self.misunderstood.get(name, 0) + 1

    def close(self) -> None:
        """Say of the sites that were never called that they were not."""
        for name, calls in self.calls.items():
            if not calls and name not in self.silent:
                self.silent[name] = "it was not called while the probe was open"


class Kind(abc.ABC):
    """One kind of attention module. Subclasses are final."""

    @abc.abstractmethod
    def claims(self, module: nn.Module) -> bool:
        """Can this kind hear the module?"""

    @abc.abstractmethod
    def listen(
        self, model: nn.Module, sites: Mapping[nn.Module, str], hearing: Hearing, stack: ExitStack
    ) -> None:
        """Begin to note the calls of these sites; `stack` undoes it."""
