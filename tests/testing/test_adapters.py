"""Foreign functions through their adapters: what they keep, and what they are known to break."""

import pytest

from heedful.errors import MissingExtraError
from heedful.testing.adapters import ADAPTERS
from heedful.testing.adapters._import import needs
from heedful.testing.rules import RULES
from heedful.testing.verification import verify

# target -> (rules that it keeps, rules that it breaks, rules that it refuses)
KNOWN = {
    "torch.nn.functional:scaled_dot_product_attention": (
        ("empty_rows", "decoding", "grouped_heads"),
        (),
        (),
    ),
    # its switch counts from the first key
    "torch.nn.functional:scaled_dot_product_attention(is_causal=True)": ((), ("decoding",), ()),
    # a row that sees nothing is not a number
    "torch.nn:MultiheadAttention": (("decoding", "compiles"), ("empty_rows",), ()),
    "torch.nn.attention.flex_attention:flex_attention": (("decoding",), (), ("gradients",)),
    "transformers.integrations.sdpa_attention:sdpa_attention_forward": (("empty_rows",), (), ()),
    # a row that sees nothing looks at everything
    "transformers.models.llama.modeling_llama:eager_attention_forward": (
        ("decoding",),
        ("empty_rows",),
        (),
    ),
    "entmax:entmax15": (("decoding",), ("second_gradients",), ()),
    "entmax:entmax_bisect": (("decoding",), ("empty_rows",), ()),
    "entmax:sparsemax": (("decoding",), (), ()),
}


def claim_or_skip(target):
    try:
        return ADAPTERS[target]()
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_every_adapter_is_looked_at():
    assert set(KNOWN) == set(ADAPTERS)


@pytest.mark.parametrize("target", KNOWN)
def test_known_verdicts(target):
    claim = claim_or_skip(target)
    keeps, breaks, refuses = KNOWN[target]
    report = verify(claim, rules={name: RULES[name] for name in keeps + breaks + refuses})
    verdicts = {row.rule: row.verdict for row in report.rows}
    assert verdicts == (
        dict.fromkeys(keeps, "passed")
        | dict.fromkeys(breaks, "failed")
        | dict.fromkeys(refuses, "unsupported")
    )


def test_a_missing_library_is_named():
    message = "nothing must be installed for this, got No module named 'no_such_thing'"
    with pytest.raises(MissingExtraError, match=message), needs("nothing"):
        import no_such_thing  # noqa: F401
