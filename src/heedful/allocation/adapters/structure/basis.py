"""In which basis queries and keys meet: what stands behind their projections."""

from typing import NamedTuple

from heedful.allocation.adapters.structure.structure import Part
from heedful.allocation.adapters.structure.trace import Trace, channels, influence
from heedful.allocation.projections import Rotary


class Basis(NamedTuple):
    """In which basis queries and keys meet.

    Args:
        rotary: Which pairs of components positions turn; `None` means none.
        fixed: May they not be written in another one?
    """

    rotary: Rotary | None
    fixed: bool


def basis_of(trace: Trace, parts: dict[str, Part], unknown: bool) -> Basis:
    """Return what stands behind the projections of queries and keys: nothing, turns, or more.

    Args:
        trace: Of the module.
        parts: Where its heads stand.
        unknown: May more stand there than can be seen?
    """
    if unknown:
        return Basis(None, True)
    pairs = [_mates(trace, kind, parts[kind]) for kind in ("query", "key")]
    size = parts["query"].rows.shape[1]
    if all(x == [{i} for i in range(size)] for x in pairs):
        return Basis(None, False)
    half = size // 2
    if all(x == [{i % half, i % half + half} for i in range(size)] for x in pairs):
        return Basis(Rotary(pairs=tuple(range(half)), whole=size), False)
    return Basis(None, True)


def _mates(trace: Trace, kind: str, part: Part) -> list[set[int]]:
    """By component of the first head, the components of its projection that it is made of."""
    asked, layer = trace.asked[0][kind], {"on": trace.layers[part.path]}
    place = {int(row): i for i, row in enumerate(part.rows[0])}
    found: list[set[int]] = []
    for component in range(asked.shape[3]):
        gradient = influence(asked[:, 0, :, component], layer).get("on")
        rows = [] if gradient is None else channels(gradient).tolist()
        found.append({place[row] for row in rows if row in place})
    return found
