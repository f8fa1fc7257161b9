"""The claims of what heads do with each other, and with a second map."""

from heedful import ops
from heedful.testing.claim import Claim
from heedful.testing.masks import MASKS
from heedful.testing.oracle import heads

HEADS: dict[str, Claim] = {
    "differential": Claim(
        attention=ops.differential_attention,
        weights=ops.differential_weights,
        oracle=heads.differential,
        extras={"subtracted": "heads"},
        even=True,  # a half for each map
        normalised=False,
        positive=False,
    ),
    "talking_heads": Claim(
        attention=ops.talking_heads_attention,
        weights=ops.talking_heads_weights,
        oracle=heads.talking_heads,
        extras={"score_mix": "heads heads", "weight_mix": "heads heads"},
        settings={"scale": 0.7},
        masks=tuple(kind for kind in MASKS if kind not in ("dense", "blocks")),
        normalised=False,
        positive=False,
        independent_heads=False,
        steps=(4, 4),  # the two mixes
    ),
}
