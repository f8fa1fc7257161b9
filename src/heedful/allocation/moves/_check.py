"""What moves refuse, with one wording."""

from heedful.allocation.projections import Projections
from heedful.allocation.seen import Seen
from heedful.errors import UnsupportedError

# of `heedful.nn.MECHANISMS`: the weights depend on products of queries and keys only, and not on
# what all products of a query have in common
PRODUCTS = ("block_sparse", "scaled_dot", "selected_blocks", "top_k", "window")


def check_heads(site: Projections) -> None:
    """Raise unless there is a head to do something with.

    Raises:
        UnsupportedError: The site was dropped.
    """
    if not site.geometry.heads:
        raise UnsupportedError("a site must have heads left, got a dropped one")


def check_mixing(
    site: Projections, name: str, seen: Seen | None, *, own_text: bool, looking_back: bool = False
) -> None:
    """Raise unless the way in which positions are mixed can be exchanged for another.

    Args:
        site: As it is.
        name: Of the mechanism that it is to get; a site that has it already gets it anew.
        seen: What went through, where that is known.
        own_text: Must queries and keys be the same positions?
        looking_back: Must it be known that nobody sees the future?

    Raises:
        UnsupportedError: The site was dropped, mixes by something else than scaled dot products,
            was seen looking at another text, or was not seen looking back only.
    """
    check_heads(site)
    if site.mixing is not None and site.mixing.name not in ("scaled_dot", name):
        raise UnsupportedError(
            f"a site must mix by scaled dot products to mix by {name}, got {site.mixing.name}"
        )
    if own_text and seen is not None and not seen.self_attention:
        raise UnsupportedError(f"a site must look at its own text for {name}, got another text")
    if looking_back and seen is not None and not seen.causal:
        raise UnsupportedError(f"a site must look back only for {name}, got one that looks ahead")


def check_products(site: Projections) -> None:
    """Raise unless queries and keys may be written in another basis.

    Raises:
        UnsupportedError: The heads mix in a way in which the components themselves count.
    """
    if site.mixing is not None and site.mixing.name not in PRODUCTS:
        raise UnsupportedError(
            f"heads must mix by one of {', '.join(PRODUCTS)}, got {site.mixing.name}"
        )
