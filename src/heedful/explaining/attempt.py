"""An explanation, or why there is none, for whoever goes on to the next example."""

from collections.abc import Callable
from typing import TypeVar

from heedful.errors import HeedfulError
from heedful.explaining.explanation import NotExplainable

Found = TypeVar("Found")


def attempt(explain: Callable[[], Found]) -> Found | NotExplainable:
    """Explain one of many examples; that one cannot be explained is nothing that stops the others.

    Args:
        explain: Returns what was found, or raises what is in its way, such as that the model heard
            nothing.
    """
    try:
        return explain()
    except HeedfulError as error:
        return NotExplainable(str(error))
