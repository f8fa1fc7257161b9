"""What a score gains when a weight grows: gradients of maps that no kernel ever stored."""

from collections.abc import Sequence

import torch
from torch import Tensor

from heedful.errors import ConfigError, UnsupportedError
from heedful.probing.call import ProbedCall
from heedful.probing.explicit_weights import ReturnedWeights
from heedful.probing.fidelity import mixed_values
from heedful.probing.tiles import upcast


class WeightGradients:
    """The gradient of what was differentiated by each weight of a call.

    The output of attention is the weights times the values, so the gradient by the weights is the
    gradient by the output times the values: it needs the output's alone, which fused kernels give.

    Args:
        call: Of a probe with `gradients=True`, with all heads and rows, after `backward`.

    Raises:
        ConfigError: Some heads or rows of the call were not kept.
        UnsupportedError: Dropout was active, so that the output is not the weights times the
            values.
    """

    def __init__(self, call: ProbedCall) -> None:
        if call.unverifiable is not None:
            raise UnsupportedError(f"gradients must be of an exact map, got: {call.unverifiable}")
        if len(call.weights.rows) < call.queries or len(call.shown) < len(call.weights.heads):
            raise ConfigError("gradients must be asked of all heads and rows, got some of them")
        self.call = call
        self.by_output = _by_mixed_values(call)

    def at(self, rows: Sequence[int] | slice) -> Tensor:
        """Return the gradients at some rows: `(batch, heads, rows, keys)`, in float32 at least.

        Cost:
            As much time and memory as these rows of the map.
        """
        call, gradient = self.call, self.by_output
        if gradient is None:  # nothing depends on the call
            count = len(range(call.queries)[rows]) if isinstance(rows, slice) else len(rows)
            return upcast(call.output).new_zeros(*call.shape[:2], count, call.shape[3])
        gradient = gradient[:, :, rows]
        if isinstance(call.weights, ReturnedWeights):
            return gradient
        return gradient @ upcast(call.value)[:, list(call.weights.kv_heads)].mT


def _by_mixed_values(call: ProbedCall) -> Tensor | None:
    """The gradient by mixed values, `(batch, heads, rows, value_dim)`, or by returned weights."""
    if not call.gradients:
        return None
    gradient = upcast(sum(call.gradients[1:], call.gradients[0]))
    if call.finish is None:
        return gradient
    value, rows, finish = upcast(call.value), range(call.queries), call.finish
    if call.linear:  # the slope is the same everywhere
        mixed = value.new_zeros(call.shape[0], len(call.weights.heads), len(rows), value.shape[3])
    else:
        mixed, _ = mixed_values(call, rows)
    with torch.enable_grad():
        mixed.requires_grad_()
        return torch.autograd.grad(finish(mixed, rows), mixed, gradient)[0]
