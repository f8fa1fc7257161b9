"""Can the native kernel take a call? For mechanisms that have a slower way of their own."""

from torch import Tensor

from heedful.kernels.call import Call
from heedful.kernels.cpu import kernel
from heedful.mask import Mask


def native(
    query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, scale: float | None = None
) -> bool:
    """Would `attend(..., impl="cpu")` run? It is what skips the hidden parts of a mask.

    Args:
        query: What is looked for.
        key: What is looked at.
        value: What is returned.
        mask: Which query may see which key.
        scale: Factor of the dot product.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
    """
    return kernel.refuses(Call.of(query, key, value, mask, None, scale)) is None
