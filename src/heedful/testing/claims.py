"""What every mechanism of `heedful.ops` claims to be; its tests hold it to that."""

from heedful import ops
from heedful.testing import oracle
from heedful.testing.claim import Claim

# name (= file of heedful.ops) -> claim
CLAIMS: dict[str, Claim] = {
    "additive": Claim(
        attention=ops.additive_attention,
        weights=ops.additive_weights,
        oracle=oracle.additive,
        extras={"score_weight": "heads dim"},
    ),
    "coverage": Claim(
        attention=ops.coverage_attention,
        weights=ops.coverage_weights,
        oracle=oracle.coverage,
        extras={
            "coverage": "batch heads keys",
            "coverage_weight": "heads dim",
            "score_weight": "heads dim",
        },
        one_query=True,
    ),
    "dot": Claim(attention=ops.dot_attention, weights=ops.dot_weights, oracle=oracle.dot),
    "general": Claim(
        attention=ops.general_attention,
        weights=ops.general_weights,
        oracle=oracle.general,
        extras={"weight": "heads dim key_dim"},
        sizes={"key_dim": 8},
        key_dim="key_dim",
    ),
    "location": Claim(
        attention=ops.location_attention,
        weights=ops.location_weights,
        oracle=oracle.location,
        extras={
            "previous": "batch heads keys",
            "kernel": "filters 1 kernel_size",
            "location_weight": "heads filters dim",
            "score_weight": "heads dim",
        },
        sizes={"filters": 2, "kernel_size": 5},
        one_query=True,
        keys_are_a_set=False,
    ),
    "scaled_dot": Claim(
        attention=ops.scaled_dot_attention,
        weights=ops.scaled_dot_weights,
        oracle=oracle.scaled_dot,
        twice=False,  # torch's fused kernels cannot
    ),
}
