"""Coverage attention: additive, and the score also sees what each key already received."""

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_one_query, check_qkv
from heedful.ops._softmax import aggregate, share_heads, widen
from heedful.ops.additive import additive_weights


def coverage_weights(
    query: Float[Tensor, "batch heads 1 dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    coverage: Float[Tensor, "batch heads keys"],
    coverage_weight: Float[Tensor, "heads dim"],
    score_weight: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads 1 keys"]:
    """Weigh the keys by `softmax_j(v . tanh(query + key_j + w coverage_j))`.

    One query per call, because the coverage that the next query meets contains these weights.

    Args:
        query: What is looked for, projected.
        key: What is looked at, projected; `kv_heads` divides `heads`.
        coverage: The sum of the weights of all earlier queries.
        coverage_weight: `w`, one vector per query head.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, or there is not one query.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        See et al. 2017, arXiv:1704.04368, section 2.3, equations 10 and 11.
        The idea: Tu et al. 2016, arXiv:1601.04811.

    Cost:
        Stores `keys x dim` numbers per head, like one step of additive attention. Exact.
    """
    check_qkv(query, key)
    check_one_query(query, "coverage")
    batch, heads, _, dim = query.shape
    check_axes("coverage", coverage, batch=batch, heads=heads, keys=key.shape[2])
    check_axes("coverage_weight", coverage_weight, heads=heads, dim=dim)
    feature = widen(coverage)[..., None] * widen(coverage_weight)[:, None]
    key = share_heads(widen(key), heads) + feature
    return additive_weights(query, key, score_weight=score_weight, mask=mask)


@hidden_kept_out
def coverage_attention(
    query: Float[Tensor, "batch heads 1 dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    coverage: Float[Tensor, "batch heads keys"],
    coverage_weight: Float[Tensor, "heads dim"],
    score_weight: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads 1 value_dim"]:
    """Sum `value` by the weights of `coverage_weights`.

    Args:
        query: What is looked for, projected.
        key: What is looked at, projected; `kv_heads` divides `heads`.
        value: What is returned.
        coverage: The sum of the weights of all earlier queries.
        coverage_weight: `w`, one vector per query head.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, or there is not one query.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        See et al. 2017, arXiv:1704.04368, section 2.3, equations 10 and 11.
        The idea: Tu et al. 2016, arXiv:1601.04811.

    Cost:
        Stores `keys x dim` numbers per head, like one step of additive attention. Exact.
    """
    check_qkv(query, key, value)
    weights = coverage_weights(
        widen(query),
        key,
        coverage=coverage,
        coverage_weight=coverage_weight,
        score_weight=score_weight,
        mask=mask,
    )
    return aggregate(weights, value, query.dtype)
