"""What moves refuse, with one wording."""

from heedful.allocation.moments import Moments
from heedful.allocation.projections import Projections
from heedful.errors import ConfigError, UnsupportedError

POSITIONS = 2**31 - 1  # more than any text has
SIZES = 2**16  # of what takes memory, or is looked at as one

WEIGHTS = ("query", "key", "value", "out", "query_bias", "key_bias", "value_bias", "out_bias")
# of `heedful.nn.MECHANISMS`: the weights depend on products of queries and keys only, and not on
# what all products of a query have in common
PRODUCTS = ("block_sparse", "scaled_dot", "selected_blocks", "top_k", "window")


def check_number(name: str, value: int, *, least: int = 1, most: int = POSITIONS) -> None:
    """Raise unless a setting is a number that can be meant.

    Raises:
        ConfigError: It is too small or too large.
    """
    if value < least:
        bound = "not be negative" if least == 0 else f"be at least {least}"
        raise ConfigError(f"{name} must {bound}, got {value}")
    if value > most:
        raise ConfigError(f"{name} must be at most {most}, got {value}")


def check_heads(site: Projections) -> None:
    """Raise unless there is a head to do something with.

    Raises:
        UnsupportedError: The site was dropped.
    """
    if not site.geometry.heads:
        raise UnsupportedError("a site must have heads left, got a dropped one")


def check_mixed(site: Projections) -> None:
    """Raise unless what heads mix goes into the output projection as it is.

    Raises:
        UnsupportedError: A function stands between them.
    """
    if site.activated:
        raise UnsupportedError(
            "what heads mix must go into the output projection as it is, got a function between"
        )


def check_finite(site: Projections, moments: Moments | None) -> None:
    """Raise unless all that a move computes with are numbers.

    Raises:
        UnsupportedError: A weight or a sum of what went through is NaN or infinite.
    """
    for part in WEIGHTS:
        weight = getattr(site, part)
        if weight is not None and not bool(weight.isfinite().all()):
            raise UnsupportedError(f"weights must be finite, got NaN or inf in {part}")
    check_moments(moments)


def check_moments(moments: Moments | None) -> None:
    """Raise unless what went through were numbers.

    Raises:
        UnsupportedError: A sum of it is NaN or infinite.
    """
    for part in ("query", "context", "value", "mixed"):
        moment = None if moments is None else getattr(moments, part)
        if moment is not None and not bool(moment.isfinite().all()):
            raise UnsupportedError(
                f"what went through in calibration must be finite, got NaN or inf in {part}"
            )


def check_mixing(
    site: Projections,
    name: str,
    moments: Moments | None,
    *,
    own_text: bool,
    looking_back: bool = False,
) -> None:
    """Raise unless the way in which positions are mixed can be exchanged for another.

    Args:
        site: As it is.
        name: Of the mechanism that it is to get; a site that has it already gets it anew.
        moments: What went through, where that is known.
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
    if own_text and moments is not None and not moments.self_attention:
        raise UnsupportedError(f"a site must look at its own text for {name}, got another text")
    if looking_back and moments is not None and not moments.causal:
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
