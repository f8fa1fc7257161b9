"""Well-known attention functions of other libraries, so that `heedful verify` can hold them too.

Each adapter says in that function's own words what a call and a mask are, and changes nothing else.
"""

from collections.abc import Callable

from heedful.testing.adapters.entmax import claim_entmax15, claim_entmax_bisect, claim_sparsemax
from heedful.testing.adapters.torch import (
    claim_flex,
    claim_multihead,
    claim_scaled_dot,
    claim_scaled_dot_causal,
)
from heedful.testing.adapters.transformers import claim_eager, claim_sdpa
from heedful.testing.claim import Claim

# target -> its claim; the library is imported when that is asked for
ADAPTERS: dict[str, Callable[[], Claim]] = {
    "torch.nn.functional:scaled_dot_product_attention": claim_scaled_dot,
    "torch.nn.functional:scaled_dot_product_attention(is_causal=True)": claim_scaled_dot_causal,
    "torch.nn:MultiheadAttention": claim_multihead,
    "torch.nn.attention.flex_attention:flex_attention": claim_flex,
    "transformers.integrations.sdpa_attention:sdpa_attention_forward": claim_sdpa,
    "transformers.models.llama.modeling_llama:eager_attention_forward": claim_eager,
    "entmax:entmax15": claim_entmax15,
    "entmax:entmax_bisect": claim_entmax_bisect,
    "entmax:sparsemax": claim_sparsemax,
}
