"""All mechanisms by their names; nothing but `heedful.nn.mechanisms` loads them all."""

from heedful.nn.mechanisms.adaptive_span import AdaptiveSpan
from heedful.nn.mechanisms.additive import Additive
from heedful.nn.mechanisms.base import Mechanism
from heedful.nn.mechanisms.block_sparse import BlockSparse
from heedful.nn.mechanisms.concat import Concat
from heedful.nn.mechanisms.cosine import Cosine
from heedful.nn.mechanisms.differential import Differential
from heedful.nn.mechanisms.entmax import Entmax
from heedful.nn.mechanisms.general import General
from heedful.nn.mechanisms.hedgehog import Hedgehog
from heedful.nn.mechanisms.linformer import Linformer
from heedful.nn.mechanisms.low_rank import LowRank
from heedful.nn.mechanisms.neighbourhood import Neighbourhood
from heedful.nn.mechanisms.nystrom import Nystrom
from heedful.nn.mechanisms.paged_decoding import PagedDecoding
from heedful.nn.mechanisms.parameter_free import (
    Blockwise,
    Dot,
    Linear,
    ScaledDot,
    Sparsemax,
    Temperature,
    TopK,
    Window,
)
from heedful.nn.mechanisms.performer import Performer
from heedful.nn.mechanisms.reformer import Reformer
from heedful.nn.mechanisms.scalable import Scalable
from heedful.nn.mechanisms.selected_blocks import SelectedBlocks
from heedful.nn.mechanisms.sigmoid import Sigmoid
from heedful.nn.mechanisms.sink import Sink
from heedful.nn.mechanisms.talking_heads import TalkingHeads

# name (= file in heedful.ops, and here where it has parameters) -> class
MECHANISMS: dict[str, type[Mechanism]] = {
    "adaptive_span": AdaptiveSpan,
    "additive": Additive,
    "block_sparse": BlockSparse,
    "blockwise": Blockwise,
    "concat": Concat,
    "cosine": Cosine,
    "differential": Differential,
    "dot": Dot,
    "entmax": Entmax,
    "general": General,
    "hedgehog": Hedgehog,
    "linear": Linear,
    "linformer": Linformer,
    "low_rank": LowRank,
    "neighbourhood": Neighbourhood,
    "nystrom": Nystrom,
    "paged_decoding": PagedDecoding,
    "performer": Performer,
    "reformer": Reformer,
    "scalable": Scalable,
    "scaled_dot": ScaledDot,
    "selected_blocks": SelectedBlocks,
    "sigmoid": Sigmoid,
    "sink": Sink,
    "sparsemax": Sparsemax,
    "talking_heads": TalkingHeads,
    "temperature": Temperature,
    "top_k": TopK,
    "window": Window,
}
