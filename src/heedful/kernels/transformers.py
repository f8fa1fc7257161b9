"""Give every model of Hugging Face transformers heedful's attention, by the name "heedful"."""

import functools
import inspect
import math
import re
import sys
import warnings
from typing import Any, cast

import torch
from torch import Tensor

from heedful.errors import MissingExtraError, ShapeError, UnsupportedError
from heedful.kernels._transformers_arguments import refuse, selected, sinks_of, with_sinks
from heedful.kernels._transformers_masks import (
    ALL,
    CAUSAL,
    mask_of,
    numbers,
    truth_values,
)
from heedful.kernels.attend import attend
from heedful.mask import Mask

NAME = "heedful"
# for models that only know the masks of eager attention, numbers to be added; as good, but slower
NUMBERS = "heedful_numbers"
ALLOCATED = "heedful_allocated"  # for single modules, whose model keeps the name that it has


def register() -> None:
    """Make "heedful" a name of attention and of its masks; a second time changes nothing.

    ```python
    register()
    model = AutoModel.from_pretrained(name, attn_implementation="heedful")
    model.set_attn_implementation("heedful")  # the same, for a model that is there
    ```

    A model gives the same as with eager attention, or refuses by name what no kernel here knows.
    One whose class never supported sdpa gets the masks of eager attention, under the name
    "heedful_numbers". One whose attention does not go through the interface of transformers stays
    with "eager", and a warning says so; of a model that goes there only in part,
    `heedful.probe(model)` names the rest as `unobservable`.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
    except ImportError:
        raise MissingExtraError(
            "transformers must be installed, got none: pip install 'heedful[hf]'"
        ) from None
    # Without a mask function of the same name a model gives no mask at all, and says nothing.
    AttentionMaskInterface.register(NAME, truth_values)
    AttentionMaskInterface.register(NUMBERS, numbers)
    AttentionInterface.register(NAME, attention)
    AttentionInterface.register(NUMBERS, attention_of_numbers)
    plain = PreTrainedModel.get_correct_attn_implementation
    if hasattr(plain, "__wrapped__"):
        return

    # Asked when a model is made and when it is told another name; else transformers takes any
    # registered name for any model, without a word.
    @functools.wraps(plain)
    def chosen(self: Any, *rest: Any, **named: Any) -> str:
        name = plain(self, *rest, **named)
        if name not in (NAME, NUMBERS):
            return name
        return _fitting(self, making=named.get("is_init_check", rest[1:] == (True,)))

    PreTrainedModel.get_correct_attn_implementation = chosen


def _fitting(model: Any, making: bool) -> str:
    """The name under which a model is right: its masks are what it knows."""
    modules = [
        owner.__module__ for owner in type(model).__mro__ if hasattr(owner, "base_model_prefix")
    ]
    found = next((reason for name in modules if (reason := _around(name, making))), None)
    if found is None:
        return NAME if model._supports_sdpa else NUMBERS
    warnings.warn(
        f"{type(model).__name__} stays with attention 'eager', not {NAME!r}: it chooses its "
        f"attention {found}, and not through the interface of transformers",
        UserWarning,
        stacklevel=2,
    )
    return "eager"


@functools.cache
def _around(name: str, making: bool) -> str | None:
    """How the models of a file choose their attention, if not as others do."""
    names = vars(sys.modules[name]) if name in sys.modules else {}
    tables = [x for x in names if x.endswith("ATTENTION_CLASSES") and NAME not in names[x]]
    if making and tables:
        return f"by {' and '.join(tables)}"
    try:
        source = inspect.getsource(sys.modules[name])
    except (KeyError, OSError, TypeError):  # of a session without a file: nobody can tell
        return None
    here = re.search(r"^class \w*Attention\w*\(nn\.Module\):", source, re.MULTILINE)
    return "itself" if here and "get_interface(" not in source else None


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> tuple[Tensor, None]:
    """What an attention module of transformers calls.

    A row that sees nothing by truth values gives 0, as with sdpa; with `position_bias` too, where
    sdpa gives the mean of all values, hidden ones included. By numbers, of which the lowest hides,
    it gives that mean, as eager attention does.

    Args:
        module: Says by `is_causal` what it means that there is no mask.
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        attention_mask: 4-D: truth values, True = attend, or numbers to be added to the scores.
        scaling: Factor of the dot product.
        dropout: Share of the weights that is set to 0.
        settings: `is_causal` stands before that of the module, `position_bias` is added to the
            scores, `indices` `(batch, queries, chosen)` are the only keys that a query may see, and
            `s_aux` or `sinks` are scores of nothing, which take their share of the weights. Others
            that are known to change nothing here, such as `position_ids`, are not looked at.

    Returns:
        The answer, `(batch, queries, heads, value_dim)`, and no weights.

    Raises:
        UnsupportedError: The module asks for what is not to be had, such as weights, or by an
            argument that is not understood.
        ShapeError: The mask is not 4-D, or the tensors do not fit together.
    """
    settings["is_causal"] = _is_causal(module, settings)
    return _attend(query, key, value, attention_mask, scaling, dropout, settings)


def attention_of_numbers(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> tuple[Tensor, None]:
    """As `attention`, for models with masks of eager attention: none means that all is seen.

    Raises:
        UnsupportedError: As in `attention`.
        ShapeError: As in `attention`.
    """
    settings["is_causal"] = False
    return _attend(query, key, value, attention_mask, scaling, dropout, settings)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None,
    dropout: float,
    settings: dict[str, Any],
) -> tuple[Tensor, None]:
    refuse(settings)
    if attention_mask is not None and attention_mask.ndim != 4:
        raise ShapeError(f"attention_mask must be 4-D, got shape {tuple(attention_mask.shape)}")
    bias, mask = settings.get("position_bias"), None
    if len(query) != len(key):  # learned queries, the same for all
        query = query.expand(len(key), -1, -1, -1)
    if attention_mask is None:
        if query.shape[2] > 1 and settings["is_causal"]:
            mask, key, value, bias = _first(query.shape[2], key, value, bias)
    elif attention_mask.dtype == torch.bool:
        mask = mask_of(attention_mask)
        if mask is CAUSAL:
            mask, key, value, bias = _first(query.shape[2], key, value, bias)
        mask = None if mask is ALL else mask
    else:
        bias = attention_mask if bias is None else bias + attention_mask
    if settings.get("indices") is not None:
        chosen = Mask.dense(selected(settings["indices"], key.shape[2]))
        mask = chosen if mask is None else mask & chosen
    sinks = sinks_of(settings)
    if sinks is not None:
        mask, key, value, bias = with_sinks(sinks, query.shape, mask, key, value, bias)
    output = attend(query, key, value, mask=mask, bias=bias, scale=scaling, dropout=dropout)
    return output.transpose(1, 2).contiguous(), None


def register_allocated() -> None:
    """Make "heedful_allocated" a name of attention, for modules that carry a mechanism.

    Their models must make masks for "sdpa", "heedful" or what else gives truth values.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    register()
    from transformers import AttentionInterface

    AttentionInterface.register(ALLOCATED, allocated)


def allocated(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> tuple[Tensor, None]:
    """What a module calls whose positions its `heedful_mechanism` mixes; otherwise as `attention`.

    Raises:
        UnsupportedError: The mask holds numbers, weights are to be dropped, there are biases, or
            the cache has empty room behind the last query, so that nobody knows where it stands.
    """
    refuse(settings, frozenset(("is_causal", "position_bias")))
    if settings.get("position_bias") is not None:
        raise UnsupportedError("position_bias must be None, got a tensor; no mechanism adds it")
    if dropout:
        raise UnsupportedError(f"dropout must be 0, got {dropout}; no mechanism drops weights")
    mask, causal, dim = None, _is_causal(module, settings), query.shape[3]
    if attention_mask is None:
        if query.shape[2] > 1 and causal:
            mask, key, value, _ = _first(query.shape[2], key, value, None)
    elif attention_mask.dtype == torch.bool and mask_of(attention_mask) is CAUSAL:
        mask, key, value, _ = _first(query.shape[2], key, value, None)
    elif attention_mask.dtype == torch.bool and mask_of(attention_mask) is ALL:
        mask = None
    elif attention_mask.dtype != torch.bool:
        raise UnsupportedError(
            f"attention_mask must hold truth values, got {attention_mask.dtype}; "
            "attn_implementation='sdpa' makes such masks"
        )
    else:
        beside = query.shape[2] < key.shape[2] and causal
        if beside and not bool(attention_mask[..., -1, -1].any()):
            raise UnsupportedError(
                "the last query must see the last key, got a cache with empty room behind it; "
                "one that grows has none"
            )
        mask = mask_of(attention_mask)
    factor = 1.0 if scaling is None else scaling * dim**0.5  # mechanisms divide by that root
    query = query if math.isclose(factor, 1.0) else query * factor
    output = cast(Any, module).heedful_mechanism(query, key, value, mask=mask)
    return output.transpose(1, 2).contiguous(), None


def _is_causal(module: torch.nn.Module, settings: dict[str, Any]) -> bool:
    """What it means that there is no mask: the same `None` stands for "causal" and for "all"."""
    causal = settings.get("is_causal")
    return bool(getattr(module, "is_causal", True) if causal is None else causal)


def _first(
    queries: int, key: Tensor, value: Tensor, bias: Tensor | None
) -> tuple[Mask, Tensor, Tensor, Tensor | None]:
    """Causal without a mask: the text begins here, and what a cache holds behind it is empty."""
    cut = None if bias is None else bias[..., :queries]
    return CAUSAL, key[:, :, :queries], value[:, :, :queries], cut
