"""From a name to a claim: adapters, claims, heedful's own ops, and functions by their arguments."""

import re
import sys

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.testing.adapters import ADAPTERS
from heedful.testing.claims import CLAIMS
from heedful.testing.rules import RULES
from heedful.testing.targets import claim_of
from heedful.testing.verification import verify

SOURCE = """
import torch
from heedful.ops import dot_attention, dot_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim

claim = Claim(attention=dot_attention, oracle=oracle.dot)
number = 7


def ours(query, key, value, *, mask=None):
    return dot_attention(query, key, value, mask=mask)


def _plain(query, key, value, added):
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    value = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return (scores + added).softmax(-1) @ value


def hides(query, key, value, attn_mask=None):
    if attn_mask is None:
        return _plain(query, key, value, 0)
    return _plain(query, key, value, torch.zeros(attn_mask.shape).masked_fill(attn_mask, -1e30))


def adds(query, key, value, attention_mask=None):
    return _plain(query, key, value, 0 if attention_mask is None else attention_mask)


def length_first(query, key, value, attn_mask=None):
    added = 0 if attn_mask is None else torch.zeros(attn_mask.shape).masked_fill(~attn_mask, -1e30)
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return _plain(query, key, value, added).transpose(1, 2), "and more"


def maskless(query, key, value):
    return value
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "mine_to_verify.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "mine_to_verify"
    sys.modules.pop("mine_to_verify", None)


def holds(claim):
    rules = {name: RULES[name] for name in ("batch_rows", "order_of_keys", "decoding")}
    case = {"sizes": "fewer_queries", "kind": "lengths", "dtype": torch.float64}
    RULES["output"].check(claim, **case)
    return verify(claim, rules=rules).count("failed") == 0


@pytest.mark.parametrize("name", CLAIMS)
def test_ops_come_with_their_claims(name):
    assert claim_of(f"heedful.ops:{name}_attention") is CLAIMS[name]


def test_a_claim_is_taken_as_it_is(module):
    assert claim_of(f"{module}:claim") is sys.modules[module].claim


def test_adapters_go_first():
    for target in ADAPTERS:
        if target.startswith("torch"):
            assert claim_of(target).attention.__module__.startswith("heedful.testing.adapters")


def test_a_function_with_a_mask_gets_a_mask(module):
    assert holds(claim_of(f"{module}:ours", oracle="dot"))
    with pytest.raises(AssertionError):
        holds(claim_of(f"{module}:ours"))


@pytest.mark.parametrize(
    "name, settings, wrong",
    [
        ("hides", {"mask": "hide"}, {"mask": "attend"}),
        ("length_first", {"layout": "length-first"}, {"layout": "length-first", "mask": "hide"}),
    ],
)
def test_a_tensor_mask_means_what_is_said(module, name, settings, wrong):
    holds(claim_of(f"{module}:{name}", **settings))
    with pytest.raises(AssertionError):
        holds(claim_of(f"{module}:{name}", **wrong))


def test_an_additive_mask_is_added(module):
    claim = claim_of(f"{module}:adds", mask="add")
    query, key, value = (torch.randn(1, 2, 4, 3) for _ in range(3))
    want = CLAIMS["scaled_dot"].attention(query, key, value, mask=Mask.causal())
    torch.testing.assert_close(claim.attention(query, key, value, mask=Mask.causal()), want)


@pytest.mark.parametrize(
    "target, settings, message",
    [
        ("torch", {}, "target must be MODULE:FUNCTION, got 'torch'"),
        ("no_such_module:f", {}, "no_such_module must be importable, got No module named"),
        ("torch:no_such", {}, "torch:no_such must exist, got no 'no_such' in torch"),
        ("{m}:number", {}, "mine_to_verify:number must be a function or a Claim, got int"),
        (
            "{m}:maskless",
            {},
            "mine_to_verify:maskless must take mask, attn_mask or attention_mask, "
            "got query, key, value",
        ),
        ("{m}:ours", {"oracle": "dots"}, "oracle must be one of adaptive_span, "),
        ("{m}:ours", {"mask": "hid"}, "mask must be one of attend, hide, add, got 'hid'"),
        (
            "{m}:ours",
            {"layout": "last"},
            "layout must be one of heads-first, length-first, got 'last'",
        ),
        ("torch:matmul", {}, "torch:matmul must have a signature that Python can read"),
    ],
)
def test_says_what_cannot_be_verified(module, target, settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        claim_of(target.format(m=module), **settings)
