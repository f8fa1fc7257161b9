"""Which modules of a model are attention sites, and of which attention nothing can be heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatchcase

from torch import nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.nn.aligners import Aligner
from heedful.probing.heedful_attention import HeedfulAttention
from heedful.probing.kind import Kind
from heedful.probing.torch_attention import TorchAttention
from heedful.probing.transformers import TransformersAttention

KINDS: tuple[Kind, ...] = (HeedfulAttention(), TorchAttention(), TransformersAttention())


@dataclass(frozen=True)
class Site:
    """An attention module that can be heard."""

    name: str
    module: nn.Module
    kind: Kind


def find_sites(model: nn.Module) -> tuple[list[Site], dict[str, str]]:
    """Return the attention sites, in the order of the modules, and why others are none.

    A module that only holds a site, or that a site holds, is neither.

    Raises:
        UnsupportedError: The model is compiled: what replaces a method would not be called.
    """
    sites: list[Site] = []
    unknown: dict[str, str] = {}
    for name, module in model.named_modules():
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise UnsupportedError(
                f"model must not be compiled, got {type(module).__name__} at {name!r}; "
                "probe the module that it was made of"
            )
        kind = next((kind for kind in KINDS if kind.claims(module)), None)
        if kind is not None:
            sites.append(Site(name, module, kind))
        elif reason := why_unknown(module):
            unknown[name] = reason
    names = [site.name for site in sites]
    unknown = {
        name: reason
        for name, reason in unknown.items()
        if not any(holds(name, site) or holds(site, name) for site in names)
    }
    return sites, unknown


def choose_sites(
    sites: Sequence[Site], patterns: str | Sequence[str] | None, unknown: dict[str, str]
) -> list[Site]:
    """Return the sites whose name one of the glob patterns matches.

    Raises:
        ConfigError: There is no attention at all, or a pattern matches none.
    """
    names = [site.name for site in sites]
    if not sites and not unknown:
        raise ConfigError("model must have a site of attention, got none")
    if patterns is None:
        return list(sites)
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    if not patterns:
        raise ConfigError("sites must name at least one pattern, got none")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            reasons = [reason for name, reason in unknown.items() if fnmatchcase(name, pattern)]
            raise ConfigError(
                f"sites must match one of {nearest(pattern, names) or 'none'}, got {pattern!r}"
                + "".join(f"; {reason}" for reason in reasons[:1])
            )
    return [site for site in sites if any(fnmatchcase(site.name, p) for p in patterns)]


def nearest(name: str, names: Sequence[str]) -> str:
    """All names, those first that look most like this one."""

    def unlike(other: str) -> float:
        return -SequenceMatcher(None, name, other).ratio()

    return ", ".join(sorted(names, key=unlike))


def why_unknown(module: nn.Module) -> str | None:
    """Say why a module that looks like attention is none that is known; `None` for all others."""
    kind = getattr(module, "original_name", type(module).__name__)
    if isinstance(module, Aligner):
        return f"{kind} returns its weights itself"
    if "attention" not in kind.lower() and not isinstance(module, nn.MultiheadAttention):
        return None
    if type(module).__module__.startswith("transformers."):
        return f"{kind} does not go through the attention interface of transformers"
    return f"{kind} is attention that no adapter knows"


def holds(outer: str, inner: str) -> bool:
    """Is the module of the one name somewhere inside that of the other?"""
    return outer == "" or inner.startswith(f"{outer}.")
