"""What moves refuse, with one wording."""

from heedful.allocation.projections import Projections
from heedful.errors import UnsupportedError


def check_heads(site: Projections) -> None:
    """Raise unless there is a head to do something with.

    Raises:
        UnsupportedError: The site was dropped.
    """
    if not site.geometry.heads:
        raise UnsupportedError("a site must have heads left, got a dropped one")
