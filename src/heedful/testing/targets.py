"""From `MODULE:FUNCTION` to a claim: by adapter where it is known, else by its arguments."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, Literal, get_args

from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops import OPS
from heedful.testing.adapters import ADAPTERS
from heedful.testing.adapters._lower import Meaning, lower
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS

Layout = Literal["heads-first", "length-first"]


def claim_of(
    target: str,
    *,
    oracle: str = "scaled_dot",
    mask: Meaning = "attend",
    layout: Layout = "heads-first",
) -> Claim:
    """Find a function, and what it claims to be.

    Args:
        target: `MODULE:FUNCTION`. It may also name a `Claim`.
        oracle: The mechanism that it should be, one of `heedful.ops`, unless that is known.
        mask: What its `attn_mask` or `attention_mask` is: a boolean tensor in which True means
            attend or hide, or a tensor that is added to the scores. A function with an argument
            `mask` is given a `heedful.Mask` instead.
        layout: `(batch, heads, length, dim)` or `(batch, length, heads, dim)`.

    Raises:
        ConfigError: There is no such module, function or mechanism, or no argument for a mask.
    """
    if target in ADAPTERS:
        return ADAPTERS[target]()
    found = find_target(target)
    if isinstance(found, Claim):
        return found
    for name, function in OPS.items():
        if found is function:
            return CLAIMS[name]
    if oracle not in CLAIMS:
        raise ConfigError(f"oracle must be one of {', '.join(CLAIMS)}, got {oracle!r}")
    if not callable(found):
        raise ConfigError(f"{target} must be a function or a Claim, got {type(found).__name__}")
    known = CLAIMS[oracle]
    return Claim(
        attention=_adapt(target, found, mask, layout),
        oracle=known.oracle,
        extras=known.extras,
        sizes=known.sizes,
        key_dim=known.key_dim,
        twice_differentiable=False,
        inferred=True,
    )


def find_target(target: str) -> Any:
    """Return what `MODULE:NAME` names; the current folder is one of those that are searched.

    Raises:
        ConfigError: There is no such module or name.
    """
    module_name, _, path = target.partition(":")
    if not path or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"target must be MODULE:FUNCTION, got {target!r}")
    if os.getcwd() not in sys.path:  # a command's path starts at its own folder
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{module_name} must be importable, got {error}") from None
    except (Exception, SystemExit) as error:  # whatever a module does when it is run
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"{module_name} must be importable, got {what}") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{target} must exist, got no {part!r} in {module_name}")
        found = getattr(found, part)
    return found


def _adapt(
    target: str, function: Callable[..., Any], meaning: Meaning, layout: Layout
) -> Callable[..., Tensor]:
    names = _parameters(target, function)
    given = [name for name in ("mask", "attn_mask", "attention_mask") if name in names]
    if not given:
        raise ConfigError(
            f"{target} must take mask, attn_mask or attention_mask, got {', '.join(names)}"
        )
    if meaning not in get_args(Meaning):
        raise ConfigError(f"mask must be one of {', '.join(get_args(Meaning))}, got {meaning!r}")
    if layout not in get_args(Layout):
        raise ConfigError(f"layout must be one of {', '.join(get_args(Layout))}, got {layout!r}")

    def attention(
        query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None = None, **extras: Any
    ) -> Tensor:
        lowered = mask if given[0] == "mask" else lower(mask, query, key, meaning)
        if layout == "length-first":
            query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        output = function(query, key, value, **{given[0]: lowered}, **extras)
        output = output[0] if isinstance(output, tuple) else output
        return output.transpose(1, 2) if layout == "length-first" else output

    return attention


def _parameters(target: str, function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{target} must have a signature that Python can read, got one in C"
        ) from None
