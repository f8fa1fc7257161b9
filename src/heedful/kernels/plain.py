"""Two plain products with stored scores: for short texts in half precision that are trained on."""

import torch
from torch import Tensor

from heedful.kernels import composed, hidden
from heedful.kernels.call import Call, bias_as, share_heads
from heedful.listeners import may_look

STORED_SCORES = 512 * 512  # per head, at which stored scores cost at most what torch's kernel does
STORED_BYTES = 256 * 2**20  # of all heads together
PRECISIONS = {torch.float32: "single", torch.float64: "double"}


def refuses(call: Call) -> str | None:
    """Why not: elsewhere torch's kernel is as fast, and stores no scores."""
    query, dtype = call.query, call.query.dtype
    if dtype not in (torch.bfloat16, torch.float16):
        return f"scores of {PRECISIONS[dtype]} precision gain nothing by it"
    if query.device.type != "cpu":
        return f"it pays on CPU only, got {query.device.type}"
    batch, heads, queries, _ = query.shape
    scores = queries * call.key.shape[2]
    if scores > STORED_SCORES:
        return f"it stores {scores} scores per head, and pays up to {STORED_SCORES}"
    stored = batch * heads * scores * dtype.itemsize
    if stored > STORED_BYTES:
        return f"its scores would take {stored >> 20} MiB, and may take {STORED_BYTES >> 20}"
    return None


def avoided(call: Call) -> str | None:
    """Why "auto" leaves it alone although it could run.

    On CPU in half precision the backward pass of torch's kernel takes 5 to 15 times as long as two
    products with stored scores, at the sizes of short texts (measured, torch 2.13: batch 204,
    8 heads, 20 x 20, dim 16: 50 ms against 3 ms). Without a gradient there is less to gain, and
    stored scores are rounded to half precision.
    """
    return None if call.needs_gradient() else "it pays where a gradient is needed only"


def run(call: Call) -> Tensor:
    """The answer, whatever stands behind the mask."""
    # a query that sees nothing leaves no trace in the output, but would in gradients
    return hidden.run(_run, call, call.query)


def _run(call: Call) -> Tensor:
    """Two products in the dtype of `query`; only the softmax between them computes wider."""
    heads = call.query.shape[1]
    scores = (call.query * call.scale) @ share_heads(call.key, heads).mT
    visible = _visible(call)
    if call.bias is not None:
        scores = scores + bias_as(call.bias, scores.dtype)
    if visible is None:
        weights = scores.softmax(-1)
    else:
        # the lowest number and not -inf, so that a row that sees nothing has no NaN in its gradient
        weights = scores.masked_fill(~visible, torch.finfo(scores.dtype).min).softmax(-1)
        # and in fp16 the gradient of a weight that is 0 may be inf, which times 0 is NaN
        if scores.dtype == torch.float16 or not may_look(visible) or not visible.any(-1).all():
            weights = weights.masked_fill(~visible, 0.0)
    weights = torch.dropout(weights, call.dropout, train=call.dropout > 0)
    return weights @ share_heads(call.value, heads)


def _visible(call: Call) -> Tensor | None:
    """As the mask says, and without what a bias of -inf hides."""
    visible, bias = call.visible(), call.bias
    if bias is None or (may_look(bias) and not bias.detach().isneginf().any()):
        return visible
    return composed.sees(visible, bias)
