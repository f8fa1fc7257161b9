"""Location-aware attention: additive, and the score also sees where the last query looked."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d, pad

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_one_query, check_qkv
from heedful.ops._softmax import aggregate, share_heads, widen
from heedful.ops.additive import additive_weights


def location_weights(
    query: Float[Tensor, "batch heads 1 dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    previous: Float[Tensor, "batch heads keys"],
    kernel: Float[Tensor, "filters 1 kernel_size"],
    location_weight: Float[Tensor, "heads filters dim"],
    score_weight: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads 1 keys"]:
    """Weigh the keys by `softmax_j(v . tanh(query + key_j + U f_j))`, `f = kernel * previous`.

    One query per call, because the next query's `previous` is this result. The convolution is
    torch's, which does not flip the kernel; beyond the ends `previous` counts as 0.

    Args:
        query: What is looked for, projected.
        key: What is looked at, projected; `kv_heads` divides `heads`.
        previous: The weights of the query before.
        kernel: The filters of the convolution, shared by all heads; their size is odd.
        location_weight: `U`, one matrix per query head.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, there is not one query, or the
            kernel has an even size.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Chorowski et al. 2015, arXiv:1506.07503, section 2.2, equations 8 and 9.

    Cost:
        Stores `keys x (filters + dim)` numbers per head. Exact.
    """
    check_qkv(query, key)
    check_one_query(query, "previous")
    batch, heads, _, dim = query.shape
    keys = key.shape[2]
    check_axes("previous", previous, batch=batch, heads=heads, keys=keys)
    if kernel.ndim != 3 or kernel.shape[1] != 1 or kernel.shape[2] % 2 == 0:
        raise ShapeError(
            "kernel must have shape (filters, 1, kernel_size) with an odd kernel_size, "
            f"got {tuple(kernel.shape)}"
        )
    check_axes("location_weight", location_weight, heads=heads, filters=len(kernel), dim=dim)
    signal = widen(previous).reshape(batch * heads, 1, keys)
    if not keys:  # there must be something to filter
        signal = pad(signal, (0, 1))
    features = conv1d(signal, widen(kernel), padding=kernel.shape[2] // 2)[..., :keys]
    features = features.unflatten(0, (batch, heads)).mT  # (batch, heads, keys, filters)
    key = share_heads(widen(key), heads) + features @ widen(location_weight)
    return additive_weights(query, key, score_weight=score_weight, mask=mask)


@hidden_kept_out
def location_attention(
    query: Float[Tensor, "batch heads 1 dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    previous: Float[Tensor, "batch heads keys"],
    kernel: Float[Tensor, "filters 1 kernel_size"],
    location_weight: Float[Tensor, "heads filters dim"],
    score_weight: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads 1 value_dim"]:
    """Sum `value` by the weights of `location_weights`.

    Args:
        query: What is looked for, projected.
        key: What is looked at, projected; `kv_heads` divides `heads`.
        value: What is returned.
        previous: The weights of the query before.
        kernel: The filters of the convolution, shared by all heads; their size is odd.
        location_weight: `U`, one matrix per query head.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, there is not one query, or the
            kernel has an even size.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Chorowski et al. 2015, arXiv:1506.07503, section 2.2, equations 8 and 9.

    Cost:
        Stores `keys x (filters + dim)` numbers per head. Exact.
    """
    check_qkv(query, key, value)
    weights = location_weights(
        widen(query),
        key,
        previous=previous,
        kernel=kernel,
        location_weight=location_weight,
        score_weight=score_weight,
        mask=mask,
    )
    return aggregate(weights, value, query.dtype)
