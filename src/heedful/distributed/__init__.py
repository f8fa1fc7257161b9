"""Attention over several processes: a text longer than one device holds, heads on several."""

from heedful.distributed.ring import ring_attend
from heedful.distributed.zigzag import gather, places, shard

__all__ = ["gather", "places", "ring_attend", "shard"]
