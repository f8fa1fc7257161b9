"""The mechanisms of `heedful.ops` as modules with their parameters, for `heedful.nn.Attention`.

All are loaded when one is asked of this package: what needs one alone imports its file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heedful.nn.mechanisms.table import (
        MECHANISMS,
        AdaptiveSpan,
        Additive,
        BlockSparse,
        Blockwise,
        Concat,
        Cosine,
        Differential,
        Dot,
        Entmax,
        General,
        Hedgehog,
        Linear,
        Linformer,
        LowRank,
        Mechanism,
        Neighbourhood,
        Nystrom,
        PagedDecoding,
        Performer,
        Reformer,
        Scalable,
        ScaledDot,
        SelectedBlocks,
        Sigmoid,
        Sink,
        Sparsemax,
        TalkingHeads,
        Temperature,
        TopK,
        Window,
    )

__all__ = [  # noqa: RUF022 (every list of names is in plain order)
    "AdaptiveSpan",
    "Additive",
    "BlockSparse",
    "Blockwise",
    "Concat",
    "Cosine",
    "Differential",
    "Dot",
    "Entmax",
    "General",
    "Hedgehog",
    "Linear",
    "Linformer",
    "LowRank",
    "MECHANISMS",
    "Mechanism",
    "Neighbourhood",
    "Nystrom",
    "PagedDecoding",
    "Performer",
    "Reformer",
    "Scalable",
    "ScaledDot",
    "SelectedBlocks",
    "Sigmoid",
    "Sink",
    "Sparsemax",
    "TalkingHeads",
    "Temperature",
    "TopK",
    "Window",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from heedful.nn.mechanisms import table

    return getattr(table, name)


def __dir__() -> list[str]:
    return sorted(__all__)
