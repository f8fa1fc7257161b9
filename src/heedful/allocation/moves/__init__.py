"""Moves: the ways to spend less attention at one site, one a file."""

from heedful.allocation.moves.base import Move
from heedful.allocation.moves.convolution import Convolution
from heedful.allocation.moves.drop_site import DropSite
from heedful.allocation.moves.keep_heads import KeepHeads
from heedful.allocation.moves.linear import LinearAttention
from heedful.allocation.moves.low_precision import LowPrecision
from heedful.allocation.moves.page_decode import PageDecode
from heedful.allocation.moves.query_key_rank import QueryKeyRank
from heedful.allocation.moves.recurrence import Recurrence
from heedful.allocation.moves.select_blocks import SelectBlocks
from heedful.allocation.moves.share_kv import ShareKeyValue
from heedful.allocation.moves.top_k import TopKKeys
from heedful.allocation.moves.value_rank import ValueRank
from heedful.allocation.moves.window import Window

# name (= file, and as plans say it) -> class
MOVES: dict[str, type[Move]] = {
    "convolution": Convolution,
    "drop_site": DropSite,
    "keep_heads": KeepHeads,
    "linear": LinearAttention,
    "low_precision": LowPrecision,
    "page_decode": PageDecode,
    "query_key_rank": QueryKeyRank,
    "recurrence": Recurrence,
    "select_blocks": SelectBlocks,
    "share_kv": ShareKeyValue,
    "top_k": TopKKeys,
    "value_rank": ValueRank,
    "window": Window,
}

__all__ = [  # noqa: RUF022 (every list of names is in plain order)
    "Convolution",
    "DropSite",
    "KeepHeads",
    "LinearAttention",
    "LowPrecision",
    "MOVES",
    "Move",
    "PageDecode",
    "QueryKeyRank",
    "Recurrence",
    "SelectBlocks",
    "ShareKeyValue",
    "TopKKeys",
    "ValueRank",
    "Window",
]
