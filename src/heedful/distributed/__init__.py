"""Attention and models over several processes: texts that no device holds, parameters in shares.

All are loaded when one is asked of this package.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.distributed.heads import head_parallel
    from heedful.distributed.ring import ring_attend
    from heedful.distributed.zigzag import gather, places, shard

__all__ = ["gather", "head_parallel", "places", "ring_attend", "shard"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from heedful.distributed import heads, ring, zigzag

    return getattr({"head_parallel": heads, "ring_attend": ring}.get(name, zigzag), name)


def __dir__() -> list[str]:
    return sorted(__all__)
