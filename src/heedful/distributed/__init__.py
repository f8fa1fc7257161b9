"""Attention and models over several processes: texts that no device holds, parameters in shares.

All are loaded when one is asked of this package.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.distributed.ring import ring_attend
    from heedful.distributed.zigzag import gather, places, shard

__all__ = ["gather", "places", "ring_attend", "shard"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from heedful.distributed import ring, zigzag

    return getattr(ring if name == "ring_attend" else zigzag, name)


def __dir__() -> list[str]:
    return sorted(__all__)
