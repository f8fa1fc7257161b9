"""Which modules of a model `probe` can capture, and why it cannot capture other attention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatchcase

from torch import nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.probing.adapter import ProbeAdapter
from heedful.probing.aligners import AlignerAttention
from heedful.probing.detection import detect_attention
from heedful.probing.heedful_attention import HeedfulAttention
from heedful.probing.torch_attention import TorchAttention
from heedful.probing.transformers import TransformersAttention
from heedful.probing.unsupported import kinds_of, unsupported_attention
from heedful.probing.vision import VisionAttention

ADAPTERS: tuple[ProbeAdapter, ...] = (
    HeedfulAttention(),
    VisionAttention(),
    AlignerAttention(),
    TorchAttention(),
    TransformersAttention(),
)


@dataclass(frozen=True)
class ProbedSite:
    """An attention module that `probe` can capture."""

    name: str
    module: nn.Module
    adapter: ProbeAdapter


def find_sites(
    model: nn.Module, run: Callable[[nn.Module], object] | None = None
) -> tuple[list[ProbedSite], dict[str, str]]:
    """Return the attention sites, in the order of the modules, and why others are none.

    A module that only holds a site, or that a site holds, is neither. Attention that no adapter
    knows is found by its name and its parts; `run` also finds what only its work gives away.

    Args:
        model: What is searched.
        run: Calls the model; see `detect_attention`. `None` means: nothing is run.

    Raises:
        UnsupportedError: The model is compiled: what replaces a method would not be called.
    """
    sites: list[ProbedSite] = []
    for name, module in model.named_modules():
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise UnsupportedError(
                f"model must not be compiled, got {type(module).__name__} at {name!r}; "
                "probe the module that it was made of"
            )
        adapter = next((adapter for adapter in ADAPTERS if adapter.claims(module)), None)
        if adapter is not None:
            sites.append(ProbedSite(name, module, adapter))
    names = [site.name for site in sites]
    unknown = unsupported_attention(model, names)
    if run is not None:
        unknown = unsupported_attention(
            model, names, detect_attention(model, run, [*names, *unknown])
        )
    return sites, unknown


def choose_sites(
    model: nn.Module,
    sites: Sequence[ProbedSite],
    patterns: str | Sequence[str] | None,
    unknown: dict[str, str],
) -> list[ProbedSite]:
    """Return the sites whose name one of the glob patterns matches.

    Raises:
        ConfigError: There is no attention at all, or a pattern matches none.
    """
    names = [site.name for site in sites]
    if not sites and not unknown:
        raise ConfigError(
            f"model must have a site of attention, got none among {kinds_of(model)}; if one of "
            "them attends, heedful.probing.sites.find_sites(model, run) sees it at work"
        )
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
