"""How sure each look at one test split must be, so that all together err no more than one."""

from torch import nn

from heedful.allocation.weights import weights_of
from heedful.errors import ConfigError
from heedful.optimizing.digest import digest

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


class Looks:
    """Looks at one test split that nothing but this process remembers.

    Args:
        before: How many there were.
    """

    def __init__(self, before: int = 0) -> None:
        self._before = before
        self._seen: list[str] = []

    def __call__(self, model: nn.Module) -> int:
        """Return the number of a look, from 1; a model seen before is the same look."""
        seen = looked_at(model)
        if seen not in self._seen:
            self._seen.append(seen)
        return self._before + 1 + self._seen.index(seen)


def looked_at(model: nn.Module) -> str:
    """Return what tells a model that is looked at from others: its numbers."""
    return digest(weights_of(model)).hex()
