"""One change of one site's allocation."""

import abc
from dataclasses import fields
from typing import Any

from heedful.allocation.moments import Moments
from heedful.allocation.projections import Projections


class Move(abc.ABC):
    """A decision that can be written down. Subclasses are final, frozen, keyword-only dataclasses.

    Their fields are whole numbers, floats, truth values, texts or tuples of whole numbers, which is
    what a plan can hold.
    """

    @abc.abstractmethod
    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        """Return the projections after the move.

        Args:
            site: As it is. Never changed.
            moments: Of what went through the site in the calibration batches; `None` where nobody
                knows, as when a saved model is rebuilt: the shapes are the same with and without.

        Raises:
            UnsupportedError: The move cannot be made at this site, and why.
        """

    def resolved(self, site: Projections, moments: Moments | None) -> "Move":
        """Return the move with every choice that it makes from weights or data in its settings.

        A plan must hold moves like that, since a saved model is rebuilt from random weights.
        """
        return self

    def settings(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # pyright: ignore[reportArgumentType]
