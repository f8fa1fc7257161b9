"""Masks for models of transformers, made so that nobody guesses what a missing one means."""

import weakref
from typing import Any

import torch
from torch import Tensor

from heedful.mask import Mask

CAUSAL = Mask.causal()  # the text begins here: places of the cache behind the last query are empty
ALL = Mask.full()
DENSE = 2  # masks that are kept: a model with windows has one for them and one for whole texts
MARKS = 8


def truth_values(*sizes: Any, allow_is_causal_skip: bool = True, **given: Any) -> Tensor | None:
    """The mask that sdpa is given, but never left out for several queries.

    sdpa leaves it out where torch's `is_causal` would do, and where all is seen. Which of the two
    cannot be told where it is missing: modules say of themselves what they like, and models cut
    queries off in between. Instead the mask is marked, so that kernels skip what it hides.

    Cost:
        `queries * keys` bytes where sdpa has none, if it is causal.
    """
    from transformers.masking_utils import sdpa_mask

    made = sdpa_mask(*sizes, allow_is_causal_skip=allow_is_causal_skip, **given)
    if made is not None or given.get("q_length") == 1:
        return made
    given |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    if torch.compiler.is_compiling():
        return sdpa_mask(*sizes, **given)
    with torch.inference_mode(False), torch.no_grad():  # else nobody could see that it is changed
        made = sdpa_mask(*sizes, **given)
    if made is not None:
        _remember(_marks, MARKS, made, CAUSAL if allow_is_causal_skip else ALL)
    return made


def numbers(*sizes: Any, **given: Any) -> Tensor | None:
    """The mask that eager attention is given: what is added to the scores."""
    from transformers.masking_utils import eager_mask

    return eager_mask(*sizes, **given)


def mask_of(tensor: Tensor) -> Mask:
    """The mask of truth values; all layers of a model give the same tensor, and get the same mask.

    Returns:
        `CAUSAL` or `ALL`, the very object, for a tensor that `truth_values` made instead of none
        and that nobody changed.
    """
    # what inference mode makes counts no changes, so nobody could tell whether it is still the same
    if torch.compiler.is_compiling() or tensor.is_inference():
        return Mask.dense(tensor)
    found = _found(_marks, tensor) or _found(_dense, tensor)
    return found or _remember(_dense, DENSE, tensor, Mask.dense(tensor))


Kept = dict[int, tuple[weakref.ref[Tensor], int, Mask]]


def _found(kept: Kept, tensor: Tensor) -> Mask | None:
    entry = kept.get(id(tensor))
    # the number of a tensor may have belonged to one that is gone
    if entry is None or entry[0]() is not tensor or entry[1] != tensor._version:
        return None
    return entry[2]


def _remember(kept: Kept, most: int, tensor: Tensor, mask: Mask) -> Mask:
    kept.pop(id(tensor), None)
    for oldest in [*kept.copy()][: 1 - most]:  # other threads write here
        kept.pop(oldest, None)
    kept[id(tensor)] = (weakref.ref(tensor), tensor._version, mask)
    return mask


_marks: Kept = {}  # these hold no tensor
_dense: Kept = {}
