"""Put a recurrence in the place of a site."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_mixing
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Mixing, Projections
from heedful.errors import UnsupportedError
from heedful.nn.fusion.gated_recurrence import first_gates


@final
@dataclass(frozen=True, kw_only=True)
class Recurrence(Move):
    """Carry a gated state along, where a site looked back at its own text.

    Values and output projection stay; each key/value head becomes a group of channels that forget
    at paces of their own, at first whatever they are given. What query heads made of a key/value
    head that they shared is summed. Least squares and training must follow.

    Source:
        Kim et al. 2019, "From Research to Production and Back", aclanthology.org/D19-5632,
        section 3 (a simpler recurrent unit in place of a decoder's self-attention).

    Cost:
        Saves scores, sums and one of the four projections, and all cached positions but one: a
        decoder's step is some five operations, however long the text.
    """

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_mixing(site, "gated_recurrence", moments, own_text=True, looking_back=True)
        width, context = site.geometry.width, site.geometry.context
        if width != context:
            raise UnsupportedError(
                f"a recurrence must get vectors of one width, got {width=}, {context=}"
            )
        none = site.value[:, :0]
        gate_bias = first_gates(site.geometry.value_dim).to(site.value)
        return site.with_(
            query=none,
            key=none,
            query_bias=None,
            key_bias=None,
            out=site.out.unflatten(0, (-1, site.groups)).sum(1),
            gate=site.value.new_zeros(site.value.shape),
            gate_bias=gate_bias.expand(site.geometry.kv_heads, -1).clone(),
            scale=1.0,
            origin=site.origin[:: site.groups],
            rotary=None,
            mixing=Mixing(name="gated_recurrence"),
        )
