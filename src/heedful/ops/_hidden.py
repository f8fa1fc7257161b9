"""What stands at a hidden key or value changes nothing, also where it is NaN or inf."""

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from heedful.kernels.hidden import keep_out
from heedful.mask import Mask

Attention = Callable[..., Tensor]


def hidden_kept_out(attention: Attention) -> Attention:
    """Let no number at a hidden key or value matter, as `heedful.kernels.hidden.keep_out` does.

    Args:
        attention: `attention(query, key, value, *, mask, **extras)`; a row of its output comes of
            its own query and the keys that this one sees.
    """

    @functools.wraps(attention)
    def kept_out(
        query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None = None, **extras: Any
    ) -> Tensor:
        if mask is None:
            return attention(query, key, value, mask=None, **extras)

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return attention(query, key, value, mask=mask, **extras)

        return keep_out(attend, query, key, value, mask)

    return kept_out
