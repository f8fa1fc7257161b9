"""Adapters: how the attention modules of one library are read and physically changed."""

from heedful.allocation.adapters.base import Adapter, Taps
from heedful.allocation.adapters.heedful import HeedfulAdapter

# the first that claims a module has it
ADAPTERS: tuple[Adapter, ...] = (HeedfulAdapter(),)

__all__ = ["ADAPTERS", "Adapter", "HeedfulAdapter", "Taps"]
