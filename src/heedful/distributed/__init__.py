"""Attention and models over several processes: texts that no device holds, parameters in shares.

All are loaded when one is asked of this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.distributed.ring import ring_attend
    from heedful.distributed.zigzag import gather, places, shard

__all__ = ["gather", "places", "ring_attend", "shard"]
_MODULES = {"ring_attend": "ring"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"heedful.distributed.{_MODULES.get(name, 'zigzag')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
