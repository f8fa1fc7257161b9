"""The one door to attention: whichever kernel is the fastest here that can take the call."""

from jaxtyping import Float
from torch import Tensor

from heedful.kernels import composed, hidden
from heedful.kernels._kernels import KERNELS, named
from heedful.kernels.call import Call
from heedful.kernels.choose import choose
from heedful.mask import Mask


def attend(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    impl: str = "auto",
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights `softmax_j(scale * query_i . key_j + bias_ij)`.

    Which kernel computes it changes nothing but the last bits: all keep the same rules. Where two
    or more can, the one that was the fastest when they were measured here runs, so another machine
    may round otherwise; `HEEDFUL_CHOICE=static` in the environment switches measuring off.

    Whatever stands at a key or value that a query does not see, NaN and inf too, changes no bit of
    that query's output and nothing of its gradient. A result that is not finite is computed once
    more without what is hidden, and with stored scores for the queries that do see such a number,
    whichever kernel is named. Where values cannot be looked at (in a graph other than the native
    kernel's, under a transform of torch.func or a mode, on a GPU) this holds for keys and values
    that no query of their row sees; they are taken as 0. -inf in a bias hides like a mask, and a
    row of it sees nothing; a number, however low, hides nothing: a row of the lowest one gives the
    mean. Gradients of such rows are computed with stored scores.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        mask: Which query may see which key. `None` means: all.
        bias: Added to the scores; broadcasts to `(batch, heads, queries, keys)`.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.
        dropout: Share of the weights that is set to 0 at random, here and now: whoever calls
            passes 0 outside of training.
        impl: "auto", or the kernel by name: "cpu" (native), "sdpa" (torch's own), "plain" (two
            products with stored scores) or "flex" (FlexAttention). A named kernel that cannot run
            raises; nothing else runs in its place.

    Returns:
        The weighted sum of `value`, in the dtype of `query`, under autocast in that of autocast;
        0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the bias or the mask do not fit together.
        ConfigError: A tensor is not floating-point, `dropout` is not in [0, 1), `mask` is no
            `Mask`, a length of it exceeds `keys`, there is no kernel of the name `impl`, or
            `HEEDFUL_CHOICE` is neither "measured" nor "static".
        UnsupportedError: Query, key and value differ in dtype or device, or the kernel that `impl`
            names cannot take this call.
        KernelError: The kernel that `impl` names cannot be had on this machine.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
        Shared heads: Ainslie et al. 2023, arXiv:2305.13245.

    Cost:
        Exact. What the kernel takes, and less than 10 microseconds; the first call of a kind that
        was never seen on this machine also takes the tenth of a second in which it is measured.
    """
    call = Call.of(query, key, value, mask, bias, scale, dropout)
    if bias is not None and composed.drowned(call):
        return hidden.run(composed.run, call, call.query)
    if impl == "auto":
        return KERNELS[choose(call)].run(call)
    return named(impl, call).run(call)
