"""Capture `torch.nn.MultiheadAttention`, also where a fused Transformer layer goes around it."""

import inspect
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeGuard, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from heedful.errors import UnsupportedError
from heedful.probing.adapter import ProbeAdapter, Recording
from heedful.probing.call import CaptureOptions, ParameterVersion, ProbedCall, Subset, scaled_dot
from heedful.probing.replace import replaced
from heedful.probing.text_bounds import of_one_text
from heedful.probing.weights import Masking

_ATTENTION = inspect.signature(nn.MultiheadAttention.forward)
_LAYER = inspect.signature(nn.TransformerEncoderLayer.forward)


@final
class TorchAttention(ProbeAdapter):
    """Stands in the place of `forward`, of the attention and of the encoder layer around it.

    In evaluation `nn.TransformerEncoderLayer` computes all of itself in one fused operation, which
    calls nothing that could be captured, and leaves that operation as soon as anything is hooked.
    So the layer's own `forward` is replaced: when its attention was not called, queries and keys
    are computed from what went into the layer.
    """

    def claims(self, module: nn.Module) -> bool:
        ours = isinstance(module, nn.MultiheadAttention)
        return ours and type(module).forward is nn.MultiheadAttention.forward

    def attach(
        self,
        model: nn.Module,
        sites: Mapping[nn.Module, str],
        recording: Recording,
        stack: ExitStack,
    ) -> None:
        for module, name in sites.items():
            forward, merge_masks = _wrapped(module, name, recording)
            stack.enter_context(replaced(module, "forward", forward))
            stack.enter_context(replaced(module, "merge_masks", merge_masks))
        for layer in model.modules():
            name = sites.get(layer.self_attn) if _is_fused(layer) else None
            if name is not None:
                forward = _wrapped_layer(layer, name, recording)
                stack.enter_context(replaced(layer, "forward", forward))


def _is_fused(layer: nn.Module) -> TypeGuard[nn.TransformerEncoderLayer]:
    ours = isinstance(layer, nn.TransformerEncoderLayer)
    return ours and type(layer).forward is nn.TransformerEncoderLayer.forward


def _wrapped(
    module: Any, name: str, recording: Recording
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What stands in the place of `forward`, and of `merge_masks`.

    A dozen conditions decide whether torch takes its fused operation, which reads masks otherwise.
    The masks are only ever merged for it, so that being asked for them is to be on that path.
    """
    plain, plain_merge = module.forward, module.merge_masks
    merged = threading.local()

    def forward(*args: Any, **kwargs: Any) -> Any:
        merged.here = False
        result = plain(*args, **kwargs)
        given = _ATTENTION.bind(module, *args, **kwargs)
        given.apply_defaults()
        # without biases torch merges the masks and then leaves the path
        fused = merged.here and module.in_proj_bias is not None
        keep = partial(_keep, module, given.arguments, result[0], recording.options, fused=fused)
        recording.record(name, keep, result[0], partial(_batch_first, module))
        return result

    def merge_masks(*args: Any, **kwargs: Any) -> Any:
        merged.here = True
        return plain_merge(*args, **kwargs)

    return forward, merge_masks


def _wrapped_layer(layer: Any, name: str, recording: Recording) -> Callable[..., Any]:
    plain, options = layer.forward, recording.options

    def forward(*args: Any, **kwargs: Any) -> Any:
        before = recording.count(name)
        result = plain(*args, **kwargs)
        if recording.count(name) == before:
            given = _LAYER.bind(layer, *args, **kwargs).arguments
            recording.record(name, partial(_keep_layer, layer, given, result, options), result)
        return result

    return forward


class _Projected(NamedTuple):
    """Heads of queries, keys and values; are these one text, and how many keys were appended?"""

    query: Tensor
    key: Tensor
    value: Tensor
    self_attention: bool
    extra: int


def _project(
    module: Any, query: Tensor, key: Tensor, value: Tensor, *, self_attention: bool = True
) -> _Projected:
    """The heads of queries, keys and values, `(batch, heads, length, dim)`, from batch-first ones.

    `add_bias_kv` and `add_zero_attn` append keys, in this order, which everybody sees.
    """
    given = key.shape[1]
    if module.in_proj_weight is not None:
        weights = module.in_proj_weight.chunk(3)
    else:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    query, key, value = map(functional.linear, (query, key, value), weights, biases)
    if module.bias_k is not None:
        key = torch.cat([key, module.bias_k.to(key.dtype).expand(len(key), -1, -1)], dim=1)
        value = torch.cat([value, module.bias_v.to(value.dtype).expand(len(value), -1, -1)], dim=1)
    if module.add_zero_attn:
        key, value = (functional.pad(x, (0, 0, 0, 1)) for x in (key, value))
    heads, extra = (module.num_heads, module.head_dim), key.shape[1] - given
    query, key, value = (x.unflatten(-1, heads).transpose(1, 2) for x in (query, key, value))
    return _Projected(query, key, value, self_attention, extra)


def _keep(
    module: Any, given: Mapping[str, Any], output: Tensor, options: CaptureOptions, *, fused: bool
) -> ProbedCall:
    inputs = [given["query"], given["key"], given["value"]]
    if any(x.is_nested for x in inputs):
        raise UnsupportedError("queries, keys and values must not be nested tensors here, got some")
    inputs, used = [_batch_first(module, x) for x in inputs], _batch_first(module, output)
    projected = _project(module, *inputs, self_attention=of_one_text(given["query"], given["key"]))
    padding, mask = given["key_padding_mask"], given["attn_mask"]
    if not fused and _hinted(given):
        masking = Masking(causal=True)
    else:
        masks = [None if padding is None else padding.reshape(len(used), 1, 1, -1)]
        masks.append(None if mask is None else _four_axes(mask, len(used)))
        masking = _masking(masks, projected.extra)
    weights, bias = module.out_proj.weight, module.out_proj.bias
    return _call(
        module,
        projected,
        masking,
        used,
        options,
        finish=lambda mixed, rows: _linear(mixed.transpose(1, 2).flatten(2), weights, bias),
        compared="the module's output",
        parameters=ParameterVersion.of(weights, bias),
    )


def _batch_first(module: Any, x: Tensor) -> Tensor:
    return x[None] if x.ndim == 2 else x if module.batch_first else x.transpose(0, 1)


def _hinted(given: Mapping[str, Any]) -> bool:
    """Does torch leave the mask aside and take its causal switch, which also hides added keys?

    Its fused self-attention takes the mask, which says the same, unless the hint was wrong.
    """
    return given["is_causal"] and given["key_padding_mask"] is None and not given["need_weights"]


def _four_axes(mask: Tensor, batch: int) -> Tensor:
    return mask[None, None] if mask.ndim == 2 else mask.unflatten(0, (batch, -1))


def _masking(masks: list[Tensor | None], extra: int) -> Masking:
    """Who sees whom, in torch's words here: True = drop; a number is added."""
    given = [functional.pad(mask, (0, extra)) for mask in masks if mask is not None]
    added = tuple(mask for mask in given if mask.dtype != torch.bool)
    hidden = tuple(~mask for mask in given if mask.dtype == torch.bool)
    uniform = bool(added) and not any(mask.isneginf().any() for mask in added)
    return Masking(visible=hidden, added=added, uniform=uniform)


def _call(
    module: Any,
    projected: _Projected,
    masking: Masking,
    used: Tensor,
    options: CaptureOptions,
    *,
    finish: Callable[[Tensor, Sequence[int]], Tensor],
    **details: Any,
) -> ProbedCall:
    """A call in which all heads are kept, because the output mixes them."""
    heads, queries = module.num_heads, projected.query.shape[2]
    subset = Subset(
        options=options,
        heads=tuple(range(heads)),
        rows=options.rows_of(queries),
        queries=queries,
        self_attention=projected.self_attention,
        extra=projected.extra,
    )
    dropping = module.training and module.dropout > 0
    return ProbedCall(
        weights=scaled_dot(
            subset,
            projected.query,
            projected.key,
            scale=1 / math.sqrt(module.head_dim),
            masking=masking,
        ),
        shown=options.heads_of(heads),
        value=subset.of_key(projected.value),
        output=subset.of_rows(used, axis=1),
        finish=finish,
        unverifiable="dropout was active" if dropping else None,
        **details,
    )


# ---- the fused layer -----------------------------------------------------------------------------


def _keep_layer(
    layer: Any, given: Mapping[str, Any], used: Tensor, options: CaptureOptions
) -> ProbedCall:
    module, source = layer.self_attn, given["src"]
    missing, masking = None, _fused_masking(given)
    if source.is_nested:
        source, used, missing, masking = _unnested(source, used)
    attended = _norm(source, layer.norm1) if layer.norm_first else source
    kept = options.copy_of(source[:, options.rows_of(source.shape[1]).to(source.device)])
    if missing is not None:
        missing = options.copy_of(missing[:, options.rows_of(source.shape[1]).to(source.device)])
    return _call(
        module,
        _project(module, attended, attended, attended),
        masking,
        used,
        options,
        finish=lambda mixed, rows: _replay(layer, kept[:, rows], mixed),
        linear=False,
        compared="the layer's output",
        padding_rows=missing,
        parameters=ParameterVersion.of(*layer.parameters()),
    )


def _fused_masking(given: Mapping[str, Any]) -> Masking:
    """The fused layer makes every mask boolean: what is not 0 is dropped, also a number to add."""
    batch = given["src"].size(0)
    padding, mask = given.get("src_key_padding_mask"), given.get("src_mask")
    masks = [] if padding is None else [padding.reshape(batch, 1, 1, -1)]
    masks += [] if mask is None else [_four_axes(mask, batch)]
    return Masking(visible=tuple(mask == 0 for mask in masks))


def _unnested(source: Tensor, used: Tensor) -> tuple[Tensor, Tensor, Tensor, Masking]:
    """Padded tensors from nested ones, and who is padding: it sees nothing and is not seen."""
    lengths = torch.tensor([len(x) for x in source.unbind()], device=source.device)
    source, used = source.to_padded_tensor(0.0), used.to_padded_tensor(0.0)
    present = torch.arange(source.shape[1], device=source.device) < lengths[:, None]
    visible = (present[:, None, None], present[:, None, :, None])
    return source, used, ~present, Masking(visible=visible)


def _replay(layer: Any, source: Tensor, mixed: Tensor) -> Tensor:
    """The rest of the layer, after attention, with the mixed values given."""
    source = source.to(mixed.dtype)
    out = layer.self_attn.out_proj
    x = source + _linear(mixed.transpose(1, 2).flatten(2), out.weight, out.bias)
    activation = functional.gelu if layer.activation_relu_or_gelu == 2 else functional.relu

    def feedforward(x: Tensor) -> Tensor:
        hidden = activation(_linear(x, layer.linear1.weight, layer.linear1.bias))
        return _linear(hidden, layer.linear2.weight, layer.linear2.bias)

    if layer.norm_first:
        return x + feedforward(_norm(x, layer.norm2))
    x = _norm(x, layer.norm1)
    return _norm(x + feedforward(x), layer.norm2)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return functional.linear(x, weight.to(x), None if bias is None else bias.to(x))


def _norm(x: Tensor, norm: Any) -> Tensor:
    weight, bias = (None if given is None else given.to(x) for given in (norm.weight, norm.bias))
    return functional.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)
