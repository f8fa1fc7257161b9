"""Put something else in the place of an attribute, and take it away again."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, attribute: str, value: Any) -> Generator[None]:
    """Let `owner.attribute` be `value` for a while; afterwards it is what it was, or not there.

    Hooks would be simpler, but torch leaves its fused Transformer layer when it finds one.

    Args:
        owner: A module or a class.
        attribute: Which one; what it inherits stays untouched.
        value: What stands there meanwhile.
    """
    own = vars(owner)
    had, before = attribute in own, own.get(attribute)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, attribute, before)
        else:
            delattr(owner, attribute)
