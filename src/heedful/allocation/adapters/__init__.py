"""Adapters: how the attention modules of one library are read and physically changed."""

from heedful.allocation.adapters.base import Adapter, HookPoints
from heedful.allocation.adapters.heedful import HeedfulAdapter
from heedful.allocation.adapters.pooling import PoolingAdapter
from heedful.allocation.adapters.structural import StructuralAdapter
from heedful.allocation.adapters.timm import TimmAdapter
from heedful.allocation.adapters.torch import TorchAdapter
from heedful.allocation.adapters.transformers import TransformersAdapter

# the first that claims a module has it
ADAPTERS: tuple[Adapter, ...] = (
    HeedfulAdapter(),
    PoolingAdapter(),
    TorchAdapter(),
    TimmAdapter(),
    TransformersAdapter(),
    StructuralAdapter(),
)

__all__ = [
    "ADAPTERS",
    "Adapter",
    "HeedfulAdapter",
    "HookPoints",
    "PoolingAdapter",
    "StructuralAdapter",
    "TimmAdapter",
    "TorchAdapter",
    "TransformersAdapter",
]
