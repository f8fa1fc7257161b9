"""Plain models of changed ones: bit for bit the same, or refused with the site and the reason."""

import re

import pytest
from tests.forked import run

from heedful.allocation.moves import DropSite, KeepHeads, LowPrecision, ShareKeyValue, Window
from heedful.allocation.plan import Plan
from heedful.allocation.sites import find_sites
from heedful.allocation.stock import stock_model, why_not_stock
from heedful.errors import UnsupportedError

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIZES = {
    "vocab_size": 9,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 20,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
QWEN3 = T.Qwen3Config(**GROUPED, head_dim=6)
VIT = {
    "hidden_size": 15, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
    "image_size": 8, "patch_size": 4, "initializer_range": 0.3,
}  # fmt: skip
OPEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "heedful":
            raise ImportError("nobody has it here")
sys.meta_path.insert(0, Hidden())
import torch, transformers
from safetensors.torch import load_file, save_file
given = load_file(sys.argv[2])
model = getattr(transformers, sys.argv[3]).from_pretrained(sys.argv[1])
with torch.no_grad():
    said = model(**given)[0]
save_file({"said": said.contiguous()}, sys.argv[4])
assert not any(name.split(".")[0] == "heedful" for name in sys.modules)
"""


def build(kind, config):
    torch.manual_seed(0)
    return getattr(T, kind)(config).eval()


def everywhere(model, *moves):
    """The same moves at every site."""
    plan = Plan(moves={site.name: moves for site in find_sites(model)[0]})
    return plan.apply(model).eval()


def tokens():
    return {"input_ids": torch.randint(0, 9, (3, 11), generator=torch.Generator().manual_seed(1))}


def pixels():
    return {"pixel_values": torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))}


CASES = {
    "fewer heads of both kinds": (
        *("LlamaForCausalLM", T.LlamaConfig(**GROUPED), (KeepHeads(heads=(0, 1)),), tokens),
        {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4},
    ),
    "shared keys": (
        *("LlamaModel", T.LlamaConfig(**GROUPED, attention_bias=True)),
        *((ShareKeyValue(kv_heads=1),), tokens),
        {"num_attention_heads": 4, "num_key_value_heads": 1},
    ),
    "heads of a size of their own": (
        *("Qwen3Model", QWEN3, (KeepHeads(heads=(0, 2)),), tokens),
        {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 6},
    ),
    "a size that its config does not list": (
        *("ViTModel", T.ViTConfig(**VIT), (KeepHeads(heads=(0, 2)),), pixels),
        {"num_attention_heads": 2, "head_dim": 5},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_opens_without_heedful_and_says_the_same_bit_for_bit(case, tmp_path):
    from safetensors.torch import load_file, save_file

    kind, config, moves, inputs, told = CASES[case]
    model = build(kind, config)
    changed = everywhere(model, *moves)
    stock_model(changed).save_pretrained(tmp_path / "plain")
    save_file(inputs(), tmp_path / "given.safetensors")
    words = (tmp_path / "plain", tmp_path / "given.safetensors", kind, tmp_path / "said")
    run(OPEN, *words, folder=tmp_path)
    said = load_file(tmp_path / "said")["said"]
    with torch.no_grad():
        assert torch.equal(said, changed(**inputs())[0])
        assert not torch.allclose(said, model(**inputs())[0], atol=1e-3)
    read = getattr(T, kind).config_class.from_pretrained(tmp_path / "plain")
    assert {key: getattr(read, key) for key in told} == told


def test_a_constant_behind_the_heads_is_written_where_the_class_has_a_place_for_it():
    model = build("LlamaModel", T.LlamaConfig(**GROUPED))
    changed = everywhere(model, KeepHeads(heads=(2, 3)))
    changed.layers[1].self_attn.o_proj.bias.data.normal_()
    plain = stock_model(changed)
    assert plain.config.attention_bias
    assert not plain.layers[1].self_attn.q_proj.bias.any()
    with torch.no_grad():
        torch.testing.assert_close(plain(**tokens())[0], changed(**tokens())[0])
    other = build("Qwen2Model", T.Qwen2Config(**GROUPED))
    changed = everywhere(other, KeepHeads(heads=(2, 3)))
    assert why_not_stock(changed) is None
    changed.layers[1].self_attn.o_proj.bias.data.normal_()
    with pytest.raises(UnsupportedError, match=r"got none in Qwen2Model for layers\.1\.self_attn"):
        stock_model(changed)


def test_windows_are_layer_types():
    model = build("Qwen3Model", T.Qwen3Config(**GROUPED, head_dim=6))
    plan = Plan(moves={"layers.1.self_attn": (Window(window=4),)})
    plain, changed = stock_model(plan.apply(model)), plan.apply(model).eval()
    assert plain.config.layer_types == ["full_attention", "sliding_attention", "full_attention"]
    assert plain.config.sliding_window == 4
    with torch.no_grad():
        said = plain(**tokens())[0]
        torch.testing.assert_close(said, changed(**tokens())[0])
        assert not torch.allclose(said, model(**tokens())[0], atol=1e-3)


def refused(model, words):
    found = why_not_stock(model)
    assert found is not None
    assert re.search(words, found), found
    with pytest.raises(UnsupportedError, match=words):
        stock_model(model)


def test_what_no_config_says_is_refused_by_its_site():
    bert = build("BertModel", T.BertConfig(**SIZES))
    refused(
        everywhere(bert, KeepHeads(heads=(0, 2))),
        r"must have heads that BertModel can say, got encoder\.layer\.0\.attention\.self\.query\."
        r"weight of \(8, 16\) for \(16, 16\) in encoder\.layer\.0\.attention, 2 x 4",
    )
    first, second = "encoder.layer.0.attention", "encoder.layer.1.attention"
    refused(
        Plan(moves={second: (KeepHeads(heads=(0, 2)),)}).apply(bert),
        r"the same heads at every site, got 2 x 4 in encoder\.layer\.1\.attention and 4 x 4 in enc",
    )
    refused(
        Plan(moves={first: (DropSite(),)}).apply(bert),
        r"must have all of its attention, got none in encoder\.layer\.0\.attention",
    )
    refused(
        Plan(moves={first: (LowPrecision(precision="int8"),)}).apply(bert),
        r"must multiply in the precision of its weights, got encoder\.layer\.0\.\S+ in int8",
    )
    refused(everywhere(bert, ShareKeyValue(kv_heads=2)), r"num_key_value_heads .*got BertConfig")
    t5 = T.T5Config(vocab_size=9, d_model=12, d_kv=4, d_ff=20, num_layers=1, num_heads=3)
    refused(
        everywhere(build("T5EncoderModel", t5), KeepHeads(heads=(0, 2))),
        r"modules of transformers alone, got encoder\S+, a BiasedHeads",
    )
    refused(torch.nn.Linear(2, 3), r"must be of a class of transformers, got Linear")


def test_what_a_config_itself_refuses():
    bart = T.BartConfig(
        vocab_size=9, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=8,
        decoder_ffn_dim=8, encoder_attention_heads=4, decoder_attention_heads=4,
    )  # fmt: skip
    refused(
        everywhere(build("BartModel", bart), KeepHeads(heads=(0, 1, 3))),
        r"must be what BartModel can be built as, got: .*divisible by num_heads",
    )
    parts = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 8}
    text = T.CLIPTextConfig(**parts, vocab_size=9, num_hidden_layers=1)
    vision = T.CLIPVisionConfig(**parts, image_size=8, patch_size=4, num_hidden_layers=1)
    clip = T.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    refused(
        everywhere(build("CLIPModel", clip), KeepHeads(heads=(0, 1))),
        r"must say in one number how many heads it has, got CLIPConfig",
    )
    llama = build("LlamaModel", T.LlamaConfig(**{**SIZES, "hidden_size": 16}))
    refused(
        everywhere(llama, KeepHeads(heads=(0, 1, 3))),
        r"must have a valid LlamaConfig, got: .*16.*not a multiple",
    )


def test_windows_that_layer_types_do_not_say():
    llama = build("LlamaModel", T.LlamaConfig(**SIZES))
    window = Plan(moves={"layers.1.self_attn": (Window(window=4),)})
    refused(window.apply(llama), r"must have layer_types .*got LlamaConfig and window 4 in layers")
    qwen = build("Qwen3Model", T.Qwen3Config(**GROUPED, head_dim=6))
    sinks = Plan(moves={"layers.1.self_attn": (Window(window=4, sinks=2),)})
    refused(sinks.apply(qwen), r"must attend by dot products, got window 4 in layers\.1\.self")
    two = {f"layers.{n}.self_attn": (Window(window=4 + n),) for n in (0, 1)}
    refused(Plan(moves=two).apply(qwen), r"windows of one width, got \[4, 5\]")
    types = ["sliding_attention", "full_attention", "full_attention"]
    own = {"layer_types": types, "sliding_window": 6, "use_sliding_window": True}
    assert why_not_stock(build("Qwen3Model", T.Qwen3Config(**GROUPED, head_dim=6, **own))) is None
