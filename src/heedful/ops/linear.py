"""Linear attention: products of positive features instead of exponentials of scores."""

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops._feature_maps import Sums, advance, attend, time_and_keys, visible_rows, weigh
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import share_heads, widen


def linear_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `phi(query) . phi(key)` with `phi(x) = elu(x) + 1`, shared out to one.

    There is no scale, as in the paper. The features are computed as logarithms: unlike elsewhere
    the denominator cannot vanish, however far below zero all entries of a query are.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        mask: Which query may see which key: causal, a choice of keys, or both. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys; zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask is neither causal nor a choice of keys.

    Source:
        Katharopoulos et al. 2020, arXiv:2006.16236.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    check_qkv(query, key)
    seen = time_and_keys(mask, query, key, name="linear")
    rows = visible_rows(key, query, seen)
    return weigh(_log_elu(widen(query)), _log_elu(rows), seen).to(query.dtype)


@hidden_kept_out
def linear_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `linear_weights`, without the matrix of all weights.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        mask: Which query may see which key: causal, a choice of keys, or both. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask is neither causal nor a choice of keys.

    Source:
        Katharopoulos et al. 2020, arXiv:2006.16236.

    Cost:
        `dim * value_dim` products for each query and each key of a head: linear in both lengths,
        in time and in memory. A causal mask adds the pairs inside chunks of 64 keys, and keeps
        sums of `dim * (value_dim + 1)` numbers for each chunk. Exact.
    """
    check_qkv(query, key, value)
    seen = time_and_keys(mask, query, key, name="linear")
    rows, values = (visible_rows(x, query, seen) for x in (key, value))
    return attend(_log_elu(widen(query)), _log_elu(rows), values, seen).to(query.dtype)


def linear_step(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads queries dim"],
    value: Float[Tensor, "batch kv_heads queries value_dim"],
    *,
    state: Sums | None = None,
) -> tuple[Float[Tensor, "batch heads queries value_dim"], Sums]:
    """Go on with causal `linear_attention`: some more positions, from what the last step left.

    Steps over a text, of one position or of many, answer as one causal pass over all of it does.

    Args:
        query: What is looked for at the new positions.
        key: What stands at the new positions; `kv_heads` divides `heads`.
        value: What is returned.
        state: What the step before has left. `None`: these are the first positions.

    Returns:
        The answers at the new positions, in the dtype of `query`, and the state for the next step.

    Raises:
        ShapeError: The tensors or the state do not fit together, or there are not as many queries
            as keys.
        ConfigError: A tensor is not floating-point.

    Source:
        Katharopoulos et al. 2020, arXiv:2006.16236.

    Cost:
        The same for every position, however many came before. The state holds
        `dim * (value_dim + 2)` numbers for each row of the batch and each head of queries.
    """
    check_qkv(query, key, value)
    batch, heads, queries, dim = query.shape
    if key.shape[2] != queries:
        raise ShapeError(
            f"query and key must have the same length in a step, got {queries} and {key.shape[2]}"
        )
    if state is not None:
        columns = value.shape[3] + 1
        check_axes(
            "total of state", state.total, batch=batch, heads=heads, dim=dim, columns=columns
        )
        check_axes("size of state", state.size, batch=batch, heads=heads, dim=dim, one=1)
    wide = widen(query)
    rows, values = (share_heads(x.to(wide.dtype), heads) for x in (key, value))
    output, after = advance(_log_elu(wide), _log_elu(rows), values, state)
    return output.to(query.dtype), after


def _log_elu(x: Tensor) -> Tensor:
    """`log(elu(x) + 1)`: where `elu(x) + 1` is `exp(x)`, that is `x` itself."""
    # not `clamp_max(0)`: what gradient that has at 0 depends on the version of torch
    return x.masked_fill(x > 0, 0.0) + x.relu().log1p()
