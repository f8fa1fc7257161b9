"""Capture the attention of Hugging Face models, which all go through one interface."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import CodeType
from typing import Any, final

import torch
from torch import Tensor, nn

from heedful.errors import UnsupportedError
from heedful.kernels.transformers import NUMBERS, refuse, selected, sinks_of
from heedful.probing.adapter import ProbeAdapter, Recording
from heedful.probing.call import CaptureOptions, ProbedCall, Subset, scaled_dot
from heedful.probing.replace import replaced
from heedful.probing.text_bounds import TextBounds
from heedful.probing.weights import Masking, ScaledDotWeights

READ = frozenset(("is_causal", "scaling", "dropout", "softcap", "position_bias", "s_aux", "sinks"))
# eager attention has these in its mask already, or passes over them as over all that it is not told
IN_MASK = frozenset(("indices", "block_indices", "output_attentions"))
CROSSING = ("cross", "encoder_attn", "encdec", "enc_dec")  # names of attention to something else
ENTRANCE = "get_interface"  # where an attention module of transformers asks for its function


@final
class TransformersAttention(ProbeAdapter):
    """Stands in the place of the interface from which attention modules take their function.

    The function that they asked for still runs, on the same tensors; so sdpa stays fused, and
    whatever was registered there stays in use.
    """

    def claims(self, module: nn.Module) -> bool:
        if "transformers" not in sys.modules:
            return False
        return any(ENTRANCE in names for names in names_used(type(module)))

    def attach(
        self,
        model: nn.Module,
        sites: Mapping[nn.Module, str],
        recording: Recording,
        stack: ExitStack,
    ) -> None:
        if not sites:
            return
        from transformers import AttentionInterface

        plain = AttentionInterface.get_interface

        def get_interface(interface: Any, implementation: str, default: Callable[..., Any]) -> Any:
            function = plain(interface, implementation, default)
            return _wrapped(function, implementation, sites, recording)

        stack.enter_context(replaced(AttentionInterface, ENTRANCE, get_interface))
        for module, name in sites.items():
            stack.callback(module.register_forward_hook(_check_recorded(name, recording)).remove)


def _check_recorded(name: str, recording: Recording) -> Callable[..., None]:
    """Say of a module that ran, and that did not ask for attention, that it went around."""
    counted = recording.count(name)

    def after(*_: Any) -> None:
        nonlocal counted
        if recording.count(name) == counted:
            recording.unavailable.setdefault(
                name, "it ran, and went around the attention interface"
            )
        counted = recording.count(name)

    return after


def names_used(kind: type) -> Iterator[tuple[str, ...]]:
    """The names that the methods of a module's class use, of each method."""
    for owner in kind.__mro__[:-1]:
        if owner is nn.Module:
            return
        for method in vars(owner).values():
            code = getattr(inspect.unwrap(method) if callable(method) else None, "__code__", None)
            if isinstance(code, CodeType):
                yield code.co_names


def _wrapped(
    function: Callable[..., Any],
    implementation: str,
    sites: Mapping[nn.Module, str],
    recording: Recording,
) -> Callable[..., Any]:
    def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **named: Any):
        result = function(module, query, key, value, *rest, **named)
        if module in sites:
            name, tensors = sites[module], (query, key, value)
            mask, *other = rest or (named.get("attention_mask"),)
            given = {**named, "attention_mask": mask, "other": other, "module": module}
            given["self_attention"] = _is_self_attention(module, name)
            keep = partial(_keep, implementation, tensors, given, result[0], recording.options)
            recording.record(name, keep, result[0], lambda gradient: gradient.transpose(1, 2))
        return result

    return attend


def _keep(
    implementation: str,
    tensors: tuple[Tensor, Tensor, Tensor],
    given: Mapping[str, Any],
    output: Tensor,
    options: CaptureOptions,
) -> ProbedCall:
    query, key, value = tensors
    _check(implementation, tensors, given)
    query = query.expand(len(key), -1, -1, -1)
    heads, queries = query.shape[1], query.shape[2]
    subset = Subset(
        options=options,
        heads=options.heads_of(heads),
        rows=options.rows_of(queries),
        queries=queries,
        groups=heads // key.shape[1],
        self_attention=given["self_attention"],
    )
    scaling, softcap, dropout = (given.get(x) for x in ("scaling", "softcap", "dropout"))
    attention = scaled_dot(
        subset,
        query,
        key,
        scale=query.shape[3] ** -0.5 if scaling is None else float(scaling),
        masking=_masking(implementation, query, key, given),
        softcap=softcap,
        sinks=None if implementation == "sdpa" else sinks_of(given),
    )
    dropping = dropout and (implementation != "eager" or given["module"].training)
    return ProbedCall(
        weights=_without_dropped_keys(attention, given),
        shown=tuple(range(len(subset.heads))),
        value=subset.of_key(value),
        output=subset.of_query(output.transpose(1, 2)),
        compared="the mixed values before the output projection",
        unverifiable="dropout was active" if dropping else None,
    )


def _is_self_attention(module: nn.Module, name: str) -> bool:
    """Are the keys those of the queries? Only names tell it of attention to something else."""
    words = f"{name} {type(module).__name__}".lower()
    crossing = any(word in words for word in CROSSING)
    return not crossing and not getattr(module, "is_cross_attention", False)


def _without_dropped_keys(
    attention: ScaledDotWeights, given: Mapping[str, Any]
) -> ScaledDotWeights:
    """Say where the text begins when a cache of a window may have dropped its first keys."""
    module, positions = given["module"], given.get("position_ids")
    window = given.get("sliding_window") or getattr(module, "sliding_window", None)
    past = attention.keys - attention.queries
    if not attention.self_attention or not isinstance(window, int) or past < max(1, window - 1):
        return attention
    text = attention.text
    if text is None:
        padding = attention.rows.new_zeros(attention.batch, len(attention.rows), dtype=torch.bool)
        text = TextBounds(padding, None, attention.rows.new_tensor(attention.keys))
    start = None
    if isinstance(positions, Tensor) and positions.ndim == 2:  # those of images have three axes
        last = positions[:, -1].to(text.end.device)
        start = (text.end - 1 - last).expand(attention.batch)
    return replace(attention, bounds=text._replace(start=start))


def _check(implementation: str, tensors: tuple[Tensor, ...], given: Mapping[str, Any]) -> None:
    """Raise unless all that decides about the weights is understood."""
    mask = given["attention_mask"]
    if given.get("cache") is not None:
        raise UnsupportedError("keys must be at hand, got a paged cache")
    if implementation != "sdpa":  # which takes no notice of what it does not know
        known = READ | (IN_MASK if implementation == "eager" else {"indices"})
        about = ("attention_mask", "other", "module", "self_attention")
        refuse({name: x for name, x in given.items() if name not in about}, known)
    if given["other"]:
        raise UnsupportedError(
            f"what is behind the mask must be given by name, got {len(given['other'])} without"
        )
    if any(x.ndim != 4 for x in tensors):
        shapes = [tuple(x.shape) for x in tensors]
        raise UnsupportedError(f"queries, keys and values must be 4-D, got {shapes}")
    if mask is not None and (not isinstance(mask, Tensor) or mask.ndim != 4):
        what = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise UnsupportedError(
            f"attention_mask must be 4-D, got {what}; "
            f"{implementation!r} keeps the rest to itself, sdpa and eager do not"
        )


def _masking(implementation: str, query: Tensor, key: Tensor, given: Mapping[str, Any]) -> Masking:
    """What a missing mask and a mask of truth values mean depends on who reads them."""
    mask, bias, indices = (given.get(x) for x in ("attention_mask", "position_bias", "indices"))
    added = () if bias is None else (bias,)
    chosen = () if indices is None else (selected(indices, key.shape[2]),)
    if implementation == "eager":
        # eager adds whatever the mask is, also truth values, and knows no switch for causality;
        # indices are in it already
        added += () if mask is None else (mask[..., : key.shape[2]].to(query.dtype),)
        return Masking(added=added, uniform=_finite(added))
    if mask is None:
        causal = given.get("is_causal")
        causal = getattr(given["module"], "is_causal", True) if causal is None else causal
        causal = bool(causal) and query.shape[2] > 1 and implementation != NUMBERS
        return Masking(visible=chosen, added=added, causal=causal)
    if mask.dtype == torch.bool:
        # beside a bias, sdpa is given the lowest number where the mask hides, and not nothing
        uniform = bias is not None and implementation == "sdpa"
        return Masking(visible=(mask, *chosen), added=added, uniform=uniform)
    return Masking(visible=chosen, added=(*added, mask), uniform=_finite((*added, mask)))


def _finite(added: tuple[Tensor, ...]) -> bool:
    return not any(bool(x.isneginf().any()) for x in added)
