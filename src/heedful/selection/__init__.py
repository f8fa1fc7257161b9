"""Which blocks of keys are worth reading: block selection for prefill, page selection for decoding.

Everything here estimates and chooses, in plain torch; the attention itself is computed by whatever
takes `Mask.blocks`.
"""

from heedful.selection.antidiagonal import antidiagonal_mass
from heedful.selection.choose import choose_blocks
from heedful.selection.keep import always_kept
from heedful.selection.mean_pool import mean_pool_mass
from heedful.selection.pages import Pages
from heedful.selection.select import select_blocks

__all__ = [
    "Pages",
    "always_kept",
    "antidiagonal_mass",
    "choose_blocks",
    "mean_pool_mass",
    "select_blocks",
]
