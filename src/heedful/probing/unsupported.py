"""Attention that no adapter supports, found by its name or by its parts, each with the reason.

The one place that decides, for `probe` and for what changes attention.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from torch import nn

from heedful.nn.aligners import Aligner
from heedful.nn.mechanisms.base import Mechanism

# what stands in the name of a class: parts of words, and whole words
PARTS = ("attention", "attn", "attend", "deltanet", "retention", "nonlocal")
WORDS = {
    *("mha", "mhsa", "mhca", "msa", "wmsa", "mqa", "gqa", "mla", "sdpa"),
    *("xca", "gpsa", "isab", "eca", "cbam"),
}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# of children and parameters, once nothing but the role is left of their names
ROLES = ({"q", "query", "queries"}, {"k", "key", "keys"})
ALL_ROLES = {"qkv", "querykeyvalue", "cattn", "qkvz"}
BOTH = {"qk", "kv", "keyvalue"}
AROUND = re.compile(
    r"_|\d|proj(ection)?|lin(ear)?|layer|dense|conv|dw|net|in(?=_|proj)|to|^w|w$", re.IGNORECASE
)
HEADS = ("num_heads", "n_heads", "n_head", "nhead", "heads", "num_attention_heads", "nheads")
SHOWN = 12  # classes that a message names
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def unsupported_attention(
    model: nn.Module, claimed: Iterable[str], reasons: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the modules that look like attention and are not claimed, each with the reason.

    A module that only holds a claimed one, or that a claimed one holds, is none.

    Args:
        model: What is searched.
        claimed: The names of modules that somebody knows.
        reasons: By name, of modules that attend whatever they look like.
    """
    claimed, reasons = set(claimed), reasons or {}
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        if name in claimed or any(contains(x, name) or contains(name, x) for x in claimed):
            continue
        if reason := why_unsupported(module) or reasons.get(name):
            found[name] = reason
    return found


def why_unsupported(module: nn.Module) -> str | None:
    """Say why a module that looks like attention is none that is known; `None` for all others."""
    kind = getattr(module, "original_name", type(module).__name__)
    inside = module.children() if _is_named(kind) else ()  # of what only holds attention, nothing
    for part in (module, *inside):  # what stands in the place of attention says so
        if isinstance(reason := getattr(type(part), "heedful_reason", None), str):
            return reason
    if isinstance(module, Aligner):
        return f"{kind} returns its weights itself"
    if isinstance(module, Mechanism):
        return None  # how attention mixes, and part of it
    if type(module).__module__.startswith("heedful.nn.") and hasattr(type(module), "weights"):
        return f"{kind} is attention that no adapter knows; its weights() returns what it weighs by"
    parts = None if _is_named(kind) or _is_torch(module) else looks_like(module)
    if not _is_named(kind) and not isinstance(module, nn.MultiheadAttention) and parts is None:
        return None
    if type(module).__module__.startswith("transformers."):
        return f"{kind} does not go through the attention interface of transformers"
    if parts is not None:
        return f"{kind} looks like attention, with {parts}, and no adapter knows it"
    return f"{kind} is attention that no adapter knows"


def looks_like(module: nn.Module) -> str | None:
    """Say which of its parts make a module look like attention; `None` when none do."""
    if isinstance(module, CONTAINERS):
        return None
    children = {name for name, child in module.named_children() if _has_weights(child)}
    names = [*sorted(children), *(name for name, _ in module.named_parameters(recurse=False))]
    roles = {AROUND.sub("", name).lower(): name for name in reversed(names)}
    for role, name in roles.items():
        if role in ALL_ROLES:
            return f"the part {name}"
    first, second = (next((roles[x] for x in sorted(some) if x in roles), None) for some in ROLES)
    second = second or next((roles[x] for x in sorted(BOTH) if x in roles), None)
    if first is not None and second is not None:
        return f"the parts {first} and {second}"
    if any(isinstance(getattr(module, name, None), int) for name in HEADS):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and child.out_features == 3 * child.in_features:
                return f"heads and the part {name}, which makes three vectors of one"
    return None


def kinds_of(model: nn.Module) -> str:
    """The classes of the modules, in words, those first that there are most of."""
    count = Counter(type(module).__name__ for module in model.modules())
    shown = ", ".join(f"{number} {kind}" for kind, number in count.most_common(SHOWN))
    return shown + (f" and {len(count) - SHOWN} more kinds" if len(count) > SHOWN else "")


def contains(outer: str, inner: str) -> bool:
    """Is the module of the one name somewhere inside that of the other?"""
    return outer == "" or inner.startswith(f"{outer}.")


def _is_named(kind: str) -> bool:
    lower = kind.lower()
    return any(part in lower for part in PARTS) or any(
        word.lower() in WORDS for word in WORD.findall(kind)
    )


def _is_torch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.")


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None
