"""No mechanism can be forgotten, and each keeps the rules that need no oracle."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import heedful.nn.mechanisms
from heedful.errors import ConfigError, UnsupportedError
from heedful.nn import Attention, RelativePositions
from heedful.nn.mechanisms import MECHANISMS, Mechanism
from heedful.ops import OPS
from heedful.testing.claim import NotClaimed
from heedful.testing.claims import CLAIMS
from heedful.testing.covering import chosen
from heedful.testing.masks import Sizes
from heedful.testing.rules import RULES

FOLDER = Path(heedful.nn.mechanisms.__file__).parent

# ops that are no mechanism of `Attention`, and where they are used instead
ELSEWHERE = {
    "coverage": "heedful.nn.aligners: it looks at what was attended to before",
    "location": "heedful.nn.aligners: it looks at what was attended to before",
    "transformer_xl": "heedful.nn.TransformerXLAttention: it projects distances",
}

# mechanisms that are no op of their own, and whose claim they keep at the sizes of the contract
COMPOSED = {
    "paged_decoding": "scaled_dot",  # it differs in what a cache holds; test_paged_decoding has one
    "selected_blocks": "scaled_dot",  # too few blocks to choose from; test_selected_blocks has more
}

# At the sizes of the contract: dim 4, at most 7 keys.
SETTINGS = {
    "adaptive_span": {"max_span": 4, "ramp": 2.0},
    "block_sparse": {"block": 2},
    "blockwise": {"block": 2},
    "linformer": {"rank": 3, "max_keys": 7},
    "neighbourhood": {"window": (3,)},
    "nystrom": {"landmarks": 3},
    "reformer": {"chunk": 2, "buckets": 4},
    "top_k": {"kept": 3},
    "window": {"window": 3, "sinks": 1},
}

KEPT = (
    "weights_make_the_output",
    "weights_sum_to_one",
    "hidden_keys",
    "hidden_gradients",
    "empty_rows",
    "refused_masks",
    "batch_rows",
    "grouped_heads",
    "memory_layout",
    "deterministic",
    "inputs_unchanged",
    "exports",
)


def build(name, **sizes):
    torch.manual_seed(1)
    return MECHANISMS[name](**{"heads": 4, "dim": 4, **sizes}, **SETTINGS.get(name, {}))


def claim_of(name):
    """The module as a function: it brings its parameters, so there are no extras."""
    module = build(name).double()

    def attention(query, key, value, *, mask=None):
        return module.to(query.dtype)(query, key, value, mask=mask)

    def weights(query, key, *, mask=None):
        return module.to(query.dtype).weights(query, key, mask=mask)

    claim = CLAIMS[COMPOSED.get(name, name)]
    given = {"attention": attention, "weights": weights, "extras": {}, "settings": {}}
    given |= {"domains": {}, "key_dim": "dim", "even": True}
    if name == "differential":  # a norm comes after the weights, as its docstring says
        given |= {"weights": None, "same_dims": True}
    return replace(claim, **given)


def test_table_lists_every_file():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "base", "table"}
    assert {kind.__module__.rpartition(".")[2] for kind in MECHANISMS.values()} == files
    assert set(MECHANISMS) - set(COMPOSED) == set(OPS) - set(ELSEWHERE)


@pytest.mark.parametrize("name", MECHANISMS)
def test_row_is_final_and_where_its_name_says(name):
    assert issubclass(MECHANISMS[name], Mechanism)
    assert MECHANISMS[name].__final__
    assert MECHANISMS[name].__module__.rpartition(".")[2] in (name, "parameter_free")


@pytest.mark.parametrize("rule", KEPT)
@pytest.mark.parametrize("name", MECHANISMS)
def test_keeps(name, rule):
    claim = claim_of(name)
    checked = 0
    # where nothing that was drawn is claimed, all others
    for cases in (chosen(rule, RULES[rule].cases, name), RULES[rule].cases):
        for case in () if checked else cases:
            with suppress(NotClaimed):
                RULES[rule].check(claim, **case)
                checked += 1
    if not checked:
        pytest.skip("not claimed")


@pytest.mark.parametrize("name", MECHANISMS)
def test_attention_takes_it_trains_it_and_keeps_it(name):
    x = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(1))
    attention = Attention(width=16, heads=4, mechanism=build(name))
    output = attention(x)
    assert output.shape == x.shape
    output.square().sum().backward()
    trained = dict(attention.named_parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in trained.values())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in trained.values())
    other = Attention(width=16, heads=4, mechanism=build(name))
    other.load_state_dict(attention.state_dict())
    assert torch.equal(other(x), output)
    assert attention.weights(x).shape == (2, 4, 7, 7)


@pytest.mark.parametrize("name", MECHANISMS)
def test_attention_takes_no_mechanism_of_other_heads(name):
    with pytest.raises(ConfigError, match="mechanism must have heads=2 and dim=8, got 4 and 4"):
        Attention(width=16, heads=2, mechanism=build(name))


def test_attention_says_what_a_mechanism_cannot_be_combined_with():
    with pytest.raises(UnsupportedError, match=r"dropout must be 0 with a mechanism, got 0\.1"):
        Attention(width=16, heads=4, dropout=0.1, mechanism=build("dot"))
    with pytest.raises(UnsupportedError, match="positions must not add to the scores"):
        Attention(width=16, heads=4, positions=RelativePositions(4), mechanism=build("dot"))


def test_sizes_of_the_settings_fit_the_contract():
    assert Sizes().keys == 7
    assert Sizes().heads == 4
