"""Old names that still work, with a warning that says the new one."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


Renamed = str | tuple[str, Callable[[Any], Any]]


def old_keywords(**renamed: Renamed) -> Callable[[T], T]:
    """Return a decorator: a function or class takes keywords by their old names as well.

    Args:
        renamed: The new name of each old one, where it means something else together with what
            makes the new value of the old one.

    Raises:
        TypeError: In a call that says one thing by both names.
    """

    def decorate(made: T) -> T:
        call: Callable[..., Any] = made.__init__ if isinstance(made, type) else made
        whose = made.__name__

        @functools.wraps(call)
        def taking_both(*args: Any, **settings: Any) -> Any:
            for old in renamed.keys() & settings.keys():
                new, convert = _pair(renamed[old])
                if new in settings:
                    raise TypeError(f"{whose}() must get {new} once, got {old} as well")
                _warn(f"{old} of {whose}", new)
                settings[new] = convert(settings.pop(old))
            return call(*args, **settings)

        if isinstance(made, type):
            made.__init__ = taking_both  # pyright: ignore[reportAttributeAccessIssue]
            return made  # pyright: ignore[reportReturnType]
        return taking_both  # pyright: ignore[reportReturnType]

    return decorate


def _pair(new: Renamed) -> tuple[str, Callable[[Any], Any]]:
    return (new, lambda value: value) if isinstance(new, str) else new


def old_names(module: str, **renamed: Any) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module: what it holds can be had by old names as well.

    Args:
        module: Its name.
        renamed: What each old name stands for: a class or a function.

    Raises:
        AttributeError: Where such a name is looked up that never was one.
    """

    def find(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn(f"{module}.{name}", renamed[name].__name__)
        return renamed[name]

    return find


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3)
