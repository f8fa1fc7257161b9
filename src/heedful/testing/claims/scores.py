"""The claims of what scores: how well a key fits a query."""

from heedful import ops
from heedful.testing.claim import Claim
from heedful.testing.oracle import scores, scoring

SCORES: dict[str, Claim] = {
    "additive": Claim(
        attention=ops.additive_attention,
        weights=ops.additive_weights,
        oracle=scores.additive,
        extras={"score_weight": "heads dim"},
    ),
    "concat": Claim(
        attention=ops.concat_attention,
        weights=ops.concat_weights,
        oracle=scoring.concat,
        extras={
            "query_weight": "heads hidden dim",
            "key_weight": "heads hidden key_dim",
            "score_weight": "heads hidden",
        },
        sizes={"hidden": 5, "key_dim": 8},
        key_dim="key_dim",
    ),
    "cosine": Claim(
        attention=ops.cosine_attention,
        weights=ops.cosine_weights,
        oracle=scoring.cosine,
        extras={"scale": "heads"},
        steps=(3, 3),  # the two lengths
    ),
    "coverage": Claim(
        attention=ops.coverage_attention,
        weights=ops.coverage_weights,
        oracle=scores.coverage,
        extras={
            "coverage": "batch heads keys",
            "coverage_weight": "heads dim",
            "score_weight": "heads dim",
        },
        one_query=True,
    ),
    "dot": Claim(attention=ops.dot_attention, weights=ops.dot_weights, oracle=scores.dot),
    "general": Claim(
        attention=ops.general_attention,
        weights=ops.general_weights,
        oracle=scores.general,
        extras={"weight": "heads dim key_dim"},
        sizes={"key_dim": 8},
        key_dim="key_dim",
    ),
    "location": Claim(
        attention=ops.location_attention,
        weights=ops.location_weights,
        oracle=scores.location,
        extras={
            "previous": "batch heads keys",
            "kernel": "filters 1 kernel_size",
            "location_weight": "heads filters dim",
            "score_weight": "heads dim",
        },
        sizes={"filters": 2, "kernel_size": 5},
        one_query=True,
        permutation_invariant=False,
    ),
    "scaled_dot": Claim(
        attention=ops.scaled_dot_attention,
        weights=ops.scaled_dot_weights,
        oracle=scores.scaled_dot,
        twice_differentiable=False,  # torch's fused kernels cannot
    ),
}
