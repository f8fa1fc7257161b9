"""The claims of what costs less than a score for every pair, held to their own definitions."""

from heedful import ops
from heedful.testing.claim import Claim
from heedful.testing.oracle import cheaper

KEYS_ONLY = ("none", "full", "lengths", "empty_text", "nothing")

CHEAPER: dict[str, Claim] = {
    "linformer": Claim(
        attention=ops.linformer_attention,
        weights=ops.linformer_weights,
        oracle=cheaper.linformer,
        extras={"key_projection": "heads rank keys", "value_projection": "1 rank keys"},
        sizes={"rank": 3},
        masks=KEYS_ONLY,
        normalised=False,
        positive=False,
        permutation_invariant=False,
    ),
    "low_rank": Claim(
        attention=ops.low_rank_attention,
        weights=ops.low_rank_weights,
        oracle=cheaper.low_rank,
        extras={"query_projection": "heads dim rank", "key_projection": "heads dim rank"},
        sizes={"rank": 2},
        twice_differentiable=False,
    ),
    "nystrom": Claim(
        attention=ops.nystrom_attention,
        weights=ops.nystrom_weights,
        oracle=cheaper.nystrom,
        settings={"landmarks": 3, "iterations": 2},
        masks=KEYS_ONLY,
        normalised=False,
        positive=False,
        permutation_invariant=False,
        independent_queries=False,
        steps=(3,) * 4 * 2,
    ),
    "reformer": Claim(
        attention=ops.reformer_attention,
        weights=ops.reformer_weights,
        oracle=cheaper.reformer,
        extras={"rotations": "rounds dim half_buckets"},
        settings={"chunk": 2},
        sizes={"rounds": 2, "half_buckets": 2},
        normalised=False,  # a query may meet none of the keys that it sees
        decodes=False,
        permutation_invariant=False,
        independent_queries=False,
    ),
}
