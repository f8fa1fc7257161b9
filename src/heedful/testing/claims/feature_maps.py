"""The claims of what compares features of queries and keys, not the two themselves."""

from heedful import ops
from heedful.testing.claim import Claim
from heedful.testing.oracle import feature_maps

IN_ORDER = ("none", "full", "causal", "causal_start", "lengths", "empty_text", "both", "nothing")

FEATURE_MAPS: dict[str, Claim] = {
    "hedgehog": Claim(
        attention=ops.hedgehog_attention,
        weights=ops.hedgehog_weights,
        oracle=feature_maps.hedgehog,
        extras={"query_map": "heads dim features", "key_map": "heads dim features"},
        sizes={"features": 2},
        steps=(2,),
        masks=IN_ORDER,
    ),
    "linear": Claim(
        attention=ops.linear_attention,
        weights=ops.linear_weights,
        oracle=feature_maps.linear,
        masks=IN_ORDER,
    ),
    "performer": Claim(
        attention=ops.performer_attention,
        weights=ops.performer_weights,
        oracle=feature_maps.performer,
        extras={"projection": "heads features dim"},
        sizes={"features": 2},
        masks=IN_ORDER,
    ),
}
