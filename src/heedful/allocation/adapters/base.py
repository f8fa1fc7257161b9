"""What an adapter must do, so that sites of its library can be read and physically changed."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from heedful.allocation.projections import Projections


@dataclass(frozen=True)
class HookPoints:
    """The modules inside a site whose input is what its name says.

    Args:
        query: Gets the vectors that look.
        context: Gets the vectors that are looked at: what keys are made of.
        value: Gets those that values are made of, which some models take from elsewhere.
        out: Gets what the heads mixed, `(..., heads * value_dim)`, head by head, and makes of it
            what the site gives, before any residual path or dropout.
        learned: Are the queries learned? Then `query` gets a vector for each of them, but another.
    """

    query: nn.Module
    context: nn.Module
    value: nn.Module
    out: nn.Module
    learned: bool = False


class Adapter(abc.ABC):
    """One family of attention modules. Subclasses are final and hold nothing."""

    @abc.abstractmethod
    def claims(self, module: nn.Module) -> bool:
        """Is this module a site of this family?"""

    def reason_against(self, module: nn.Module) -> str | None:
        """Why a claimed module cannot be changed all the same; `None` means it can."""
        return None

    @abc.abstractmethod
    def read(self, module: nn.Module) -> Projections:
        """Return what the site computes: copies in float32 at least, on the device of the site."""

    def why_not(self, module: nn.Module, projections: Projections) -> str | None:
        """Why these projections cannot be written there; `None` means they can."""
        return None

    def looks_back(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Do the arguments of a call say that nobody sees the future? No where nobody knows."""
        return False

    def present(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Which queries and which keys of a call are no padding, `(#batch, length)`, True = there.

        `None` where nobody knows: then all of them count.
        """
        return None, None

    @abc.abstractmethod
    def write(self, module: nn.Module, projections: Projections) -> nn.Module:
        """Return the module that computes this: a new one, or the same one, changed.

        Called on modules of copies only. It keeps dtype, device, training mode and whether
        parameters require gradients, and what it returns is claimed and read by this adapter again.
        With no heads, keys and values are not even computed.
        """

    @abc.abstractmethod
    def hook_points(self, module: nn.Module) -> HookPoints:
        """Where to listen. Only for modules that `write` returned, and only with heads left."""
