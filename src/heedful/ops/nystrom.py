"""Nyström attention: queries and keys meet through landmarks, the means of their segments."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import conv2d

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._chosen_keys import chosen_keys, hide, shares
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import share_heads, widen

REASON = "the landmarks of Nyström attention mix the keys before a query sees them"


def nystrom_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    landmarks: int,
    iterations: int = 6,
    convolution: Float[Tensor, "heads size"] | None = None,
    aligned: bool = False,
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax(query K~^T) softmax(Q~ K~^T)^+ softmax(Q~ key^T)`.

    All scores are divided by `sqrt(dim)`. `Q~` and `K~` are the means of `landmarks` segments of
    the queries and of the visible keys; `^+` is the pseudo-inverse, from a few steps of an
    iteration. Unlike in the paper the lengths need not be multiples of `landmarks`, hidden keys
    take no part in any segment, and the iteration starts from the norms of each matrix of its own.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        landmarks: Segments, of the queries as of the keys; a text has no more than it has entries.
        iterations: Steps of the pseudo-inverse. Too few are wrong, and many cost; the paper takes
            6. With landmarks of similar keys, convergence needs more.
        convolution: `size` further weights a head, for the keys around the query's own place; of
            odd size, so that the middle one is for that place. The paper's skip connection.
        aligned: Do query `i` and key `i` stand at the same place? Then what hides a key keeps its
            query out of the landmarks too, so that padding cannot matter.
        mask: Which keys exist, the same for every query. `None` means: all.

    Returns:
        Weights that may be negative and need not sum to one; zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, the size of `convolution` is even,
            or `aligned` without as many queries as keys.
        ConfigError: `landmarks < 1`, `iterations < 0`, `convolution` without `aligned`, a tensor is
            not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask shows some queries other keys than others.

    Source:
        Xiong et al. 2021, arXiv:2102.03902.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    check_qkv(query, key)
    _check_settings(query, key, landmarks, iterations, convolution, aligned)
    visible = chosen_keys(mask, query, key, because=REASON)
    near, far = _factors(query, key, landmarks, iterations, visible if aligned else None, visible)
    weights = near @ far
    if convolution is not None:
        keys = key.shape[2]
        place = torch.arange(keys, device=query.device)
        tap = place - place[:, None] + convolution.shape[1] // 2
        inside = (tap >= 0) & (tap < convolution.shape[1])
        band = convolution.to(weights.dtype)[:, tap.clamp(0, convolution.shape[1] - 1)]
        band = band.masked_fill(~inside, 0.0)[None]
        weights = weights + (band if visible is None else band.masked_fill(~visible[:, :, None], 0))
    return weights.to(query.dtype)


@hidden_kept_out
def nystrom_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    landmarks: int,
    iterations: int = 6,
    convolution: Float[Tensor, "heads size"] | None = None,
    aligned: bool = False,
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `nystrom_weights`, without the matrix of all weights.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        landmarks: Segments, of the queries as of the keys; a text has no more than it has entries.
        iterations: Steps of the pseudo-inverse. Too few are wrong, and many cost; the paper takes
            6. With landmarks of similar keys, convergence needs more.
        convolution: `size` further weights a head, for the keys around the query's own place; of
            odd size, so that the middle one is for that place. The paper's skip connection.
        aligned: Do query `i` and key `i` stand at the same place? Then what hides a key keeps its
            query out of the landmarks too, so that padding cannot matter.
        mask: Which keys exist, the same for every query. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, the size of `convolution` is even,
            or `aligned` without as many queries as keys.
        ConfigError: `landmarks < 1`, `iterations < 0`, `convolution` without `aligned`, a tensor is
            not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask shows some queries other keys than others.

    Source:
        Xiong et al. 2021, arXiv:2102.03902.

    Cost:
        `landmarks` scores a query and a key, and `4 * iterations` products of `landmarks x
        landmarks` matrices: linear in both lengths. Approximate; where every query and every key is
        a landmark, what is left is how far the iteration is from its end.
    """
    check_qkv(query, key, value)
    _check_settings(query, key, landmarks, iterations, convolution, aligned)
    visible = chosen_keys(mask, query, key, because=REASON)
    near, far = _factors(query, key, landmarks, iterations, visible if aligned else None, visible)
    wide = hide(share_heads(value.to(near.dtype), query.shape[1]), visible)
    output = near @ (far @ wide)
    if convolution is not None:
        taps = convolution.to(near.dtype)[:, None, :, None]
        around = (taps.shape[2] // 2, 0)
        output = output + conv2d(wide, taps, padding=around, groups=len(taps))
    return output.to(query.dtype)


def _factors(
    query: Tensor,
    key: Tensor,
    landmarks: int,
    iterations: int,
    query_visible: Bool[Tensor, "#batch #heads queries"] | None,
    key_visible: Bool[Tensor, "#batch #heads keys"] | None,
) -> tuple[Float[Tensor, "batch heads queries landmarks"], Float[Tensor, "batch heads _ keys"]]:
    """The first softmax times the pseudo-inverse, and the last: together they are the weights."""
    query = widen(query) / math.sqrt(query.shape[3])
    key = share_heads(key.to(query.dtype), query.shape[1])
    middle_query, query_there = _segment_means(query, landmarks, query_visible)
    middle_key, key_there = _segment_means(key, landmarks, key_visible)
    columns = None if key_there is None else key_there[:, :, None]
    seen = None if key_visible is None else key_visible[:, :, None]
    first = shares(query @ middle_key.mT, columns)
    middle = shares(middle_query @ middle_key.mT, columns)
    last = shares(middle_query @ hide(key, key_visible).mT, seen)
    if query_there is not None:
        middle = middle.masked_fill(~query_there[..., None], 0.0)
        last = last.masked_fill(~query_there[..., None], 0.0)
    return first @ _pseudo_inverse(middle, iterations), last


def _segment_means(
    tensor: Float[Tensor, "batch heads length dim"],
    landmarks: int,
    visible: Bool[Tensor, "#batch #heads length"] | None,
) -> tuple[
    Float[Tensor, "batch heads landmarks dim"], Bool[Tensor, "#batch #heads landmarks"] | None
]:
    """Means of segments of the visible entries, of as equal sizes as can be; and which exist."""
    length, device = tensor.shape[2], tensor.device
    landmarks = min(landmarks, length)
    if visible is None:
        segment = torch.arange(length, device=device)[None, None] * landmarks // length
    else:
        count = visible.sum(-1, keepdim=True).clamp(min=1)
        segment = (visible.cumsum(-1) - 1) * landmarks // count
    member = segment[:, :, None] == torch.arange(landmarks, device=device)[:, None]
    if visible is not None:
        member = member & visible[:, :, None]
    size = member.sum(-1, keepdim=True)
    share = member.to(tensor.dtype) / size.clamp(min=1)
    means = share @ hide(tensor, visible)
    return means, None if visible is None else size[..., 0] > 0


def _pseudo_inverse(
    matrix: Float[Tensor, "batch heads rows columns"], iterations: int
) -> Float[Tensor, "batch heads columns rows"]:
    """Steps of `Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4`.

    They converge from `A^T` over the largest sum of a row and that of a column; nothing in a
    softmax is negative, and its rows sum to one.
    """
    if not matrix.numel():  # nobody looks, or there is nothing to look at
        return matrix.mT
    norm = matrix.sum(-2).amax(-1)[..., None, None]
    inverse = matrix.mT / torch.where(norm > 0, norm, 1.0)
    one = torch.eye(matrix.shape[2], dtype=matrix.dtype, device=matrix.device)
    for _ in range(iterations):
        product = matrix @ inverse
        step = 15 * one - product @ (7 * one - product)
        inverse = inverse @ (13 * one - product @ step) / 4
    return inverse


def _check_settings(
    query: Tensor,
    key: Tensor,
    landmarks: int,
    iterations: int,
    convolution: Tensor | None,
    aligned: bool,
) -> None:
    heads, queries, keys = query.shape[1], query.shape[2], key.shape[2]
    if landmarks < 1:
        raise ConfigError(f"landmarks must be at least 1, got {landmarks}")
    if iterations < 0:
        raise ConfigError(f"iterations must not be negative, got {iterations}")
    if aligned and queries != keys:
        raise ShapeError(f"aligned needs as many queries as keys, got {queries} and {keys}")
    if convolution is None:
        return
    if not aligned:
        raise ConfigError("convolution needs aligned=True, because it counts from a query's place")
    if convolution.ndim != 2 or len(convolution) != heads or convolution.shape[1] % 2 == 0:
        raise ShapeError(
            f"convolution must have shape (heads={heads}, an odd size), "
            f"got {tuple(convolution.shape)}"
        )
    if not convolution.is_floating_point():
        raise ConfigError(f"convolution must be floating-point, got {convolution.dtype}")
