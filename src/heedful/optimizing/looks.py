"""How sure each look at one test split must be, so that all together err no more than one."""

from heedful.errors import ConfigError

ERROR = 0.05
"""How often a test split may accept, over all looks at it, what it should refuse."""
FIRST = 4 / 5
"""The share of it that the first look may use up."""


def confidence_of_look(number: int) -> float:
    """Return how sure a look must be: 96 % at the first one, 99.5 % at the second, and so on.

    The first look may err in four fifths of `ERROR`; look `k` behind it in the share
    `1 / (k (k - 1))` of the fifth that is left. These add up to `ERROR`, however many there are.

    That bounds the error of everybody who stops at the first acceptance, though what is judged
    at a look was chosen knowing that those before it refused. Whoever looks at more than that, at
    which examples were lost, say, has a weaker promise.

    Args:
        number: Of the look, from 1.

    Raises:
        ConfigError: It is below 1.

    Source:
        Foster and Stine 2008, "Alpha-investing" (spending an error over a sequence of tests).
        Blum and Hardt 2015, arXiv:1502.04585 (why one that says only yes or no can be asked again).
    """
    if number < 1:
        raise ConfigError(f"the number of a look must be at least 1, got {number}")
    share = FIRST if number == 1 else (1 - FIRST) / (number * (number - 1))
    return 1 - ERROR * share
