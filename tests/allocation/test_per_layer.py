"""Plans in words of transformers: layer by layer, and what has no words."""

import pytest

from heedful.allocation.moves import DropSite, KeepHeads, LowPrecision
from heedful.allocation.per_layer import in_words_of_transformers
from heedful.allocation.plan import Plan
from heedful.allocation.stock import stock_model

T = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 20, "max_position_embeddings": 64,
}  # fmt: skip


def test_other_heads_in_every_layer():
    model = T.Qwen3Model(T.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=6)).eval()
    moves = {
        "layers.0.self_attn": (KeepHeads(heads=(0, 1)),),
        "layers.1.self_attn": (DropSite(),),
        "layers.2.self_attn": (LowPrecision(precision="int8"),),
    }
    found = in_words_of_transformers(model, Plan(moves=moves).apply(model))
    assert found["per_layer_config"] == {
        "0": {"num_attention_heads": 2, "num_key_value_heads": 1},
        "1": {"skip": ["attention"]},
    }
    assert "got none in layers.1.self_attn" in found["cannot_say"]


def test_what_a_config_says_has_nothing_left_unsaid():
    model = T.Qwen3Model(T.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=6)).eval()
    assert in_words_of_transformers(model, Plan().apply(model)) == {
        "per_layer_config": {},
        "cannot_say": None,
    }


def test_layers_are_counted_without_those_that_were_left_out():
    model = T.Qwen3Model(T.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=6)).eval()
    moves = {"layers.2.self_attn": (KeepHeads(heads=(0, 1)),)}
    plan = Plan(moves=moves, dropped_layers=("layers.0",))
    found = in_words_of_transformers(model, plan.apply(model), plan.dropped_layers)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    assert found["per_layer_config"] == {"1": heads}
    assert "the same heads at every site" in found["cannot_say"]
    alone = Plan(dropped_layers=plan.dropped_layers).apply(model)
    for changed in (alone, stock_model(alone)):
        assert in_words_of_transformers(model, changed, plan.dropped_layers) == {
            "per_layer_config": {},
            "cannot_say": None,
        }


def test_layers_with_two_sites_have_no_words():
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 9}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = T.BartModel(T.BartConfig(**sizes, **heads, encoder_ffn_dim=8, decoder_ffn_dim=8)).eval()
    plan = Plan(moves={"decoder.layers.0.self_attn": (KeepHeads(heads=(0,)),)})
    found = in_words_of_transformers(model, plan.apply(model))
    assert found["per_layer_config"] == {}
    assert "the same heads at every site" in found["cannot_say"]
