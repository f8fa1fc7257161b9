"""Layers left out of models of transformers: what their own class says with so many layers."""

import json
import re

import pytest
from tests.forked import run

from heedful.allocation.fewer_layers import (
    original_config,
    why_not_without,
    without_layers,
)
from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.stock import stock_model, why_not_stock
from heedful.allocation.stock_folder import save_stock
from heedful.allocation.stored import load_model, save_model
from heedful.errors import ConfigError, UnsupportedError

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIZES = {
    "vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4,
    "intermediate_size": 20, "max_position_embeddings": 64, "pad_token_id": 0,
    "initializer_range": 0.3,
}  # fmt: skip
GROUPED = {**SIZES, "num_key_value_heads": 2, "head_dim": 6, "bos_token_id": 1, "eos_token_id": 2}
DISTIL = {"vocab_size": 9, "dim": 16, "n_layers": 4, "n_heads": 4, "hidden_dim": 20}
GPT2 = {"vocab_size": 9, "n_embd": 16, "n_layer": 4, "n_head": 4, "n_positions": 64}
T5 = {
    "vocab_size": 9, "d_model": 16, "d_kv": 4, "d_ff": 20, "num_heads": 4, "num_layers": 4,
    "num_decoder_layers": 4, "decoder_start_token_id": 0,
}  # fmt: skip
BART = {
    "vocab_size": 9, "d_model": 16, "encoder_layers": 4, "decoder_layers": 4, "init_std": 0.3,
    "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "max_position_embeddings": 32, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2, "forced_eos_token_id": 2,
}  # fmt: skip
VIT = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 20,
    "image_size": 8, "patch_size": 4, "initializer_range": 0.3,
}  # fmt: skip
SPEECH = {
    **{key: SIZES[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers")},
    "num_attention_heads": 4, "intermediate_size": 20, "conv_dim": (8, 8), "conv_stride": (4, 4),
    "conv_kernel": (4, 4), "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
}  # fmt: skip
TYPES = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
GEMMA = {**GROUPED, "layer_types": TYPES, "sliding_window": 4}


def draw():
    return torch.Generator().manual_seed(1)


def tokens():
    return {"input_ids": torch.randint(3, 9, (3, 11), generator=draw())}


def pairs():
    return {**tokens(), "decoder_input_ids": torch.randint(3, 9, (3, 7), generator=draw())}


def pixels():
    return {"pixel_values": torch.randn(3, 3, 8, 8, generator=draw())}


def sounds():
    return {"input_values": torch.randn(2, 400, generator=draw())}


# class, config class, its words, what goes, what the config then says, what is asked
FAMILIES = {
    "bert": ("BertModel", "BertConfig", SIZES, {"encoder.layer": (0, 3)}, {}, tokens),
    "roberta": (
        *("RobertaForMaskedLM", "RobertaConfig", SIZES),
        *({"roberta.encoder.layer": (0, 1)}, {}, tokens),
    ),
    "distilbert": (
        *("DistilBertModel", "DistilBertConfig", DISTIL),
        *({"transformer.layer": (1, 3)}, {"n_layers": 2}, tokens),
    ),
    "gpt2": (
        *("GPT2LMHeadModel", "GPT2Config", GPT2),
        *({"transformer.h": (0, 2, 3)}, {"n_layer": 3}, tokens),
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED, {"model.layers": (1, 3)}, {}, tokens),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", GROUPED, {"model.layers": (0, 3)}, {}, tokens),
    "gemma3": (
        *("Gemma3ForCausalLM", "Gemma3TextConfig", GEMMA, {"model.layers": (2, 3)}),
        {"num_hidden_layers": 2, "layer_types": TYPES[2:]},
        tokens,
    ),
    "t5": (
        *("T5ForConditionalGeneration", "T5Config", T5),
        {"encoder.block": (0, 1, 3), "decoder.block": (0, 3)},
        {"num_layers": 3, "num_decoder_layers": 2},
        pairs,
    ),
    "bart": (
        *("BartForConditionalGeneration", "BartConfig", BART),
        {"model.encoder.layers": (1, 2, 3), "model.decoder.layers": (2,)},
        {"encoder_layers": 3, "decoder_layers": 1},
        pairs,
    ),
    "vit": (
        *("ViTForImageClassification", "ViTConfig", VIT, {"vit.layers": (0, 2)}),
        *({}, pixels),
    ),
    "wav2vec2": (
        *("Wav2Vec2ForCTC", "Wav2Vec2Config", SPEECH, {"wav2vec2.encoder.layers": (1, 2)}),
        *({}, sounds),
    ),
}  # fmt: skip
WRITERS = ("gpt2", "llama", "qwen3", "gemma3", "t5", "bart")
OPEN = """
import json, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "heedful":
            raise ImportError("nobody has it here")
sys.meta_path.insert(0, Hidden())
import torch, transformers
from safetensors.torch import load_file, save_file
for name, kind in json.loads(sys.argv[2]).items():
    given = load_file(f"{sys.argv[1]}/{name}.safetensors")
    model = getattr(transformers, kind).from_pretrained(f"{sys.argv[1]}/{name}")
    with torch.no_grad():
        said = model(**given)[0]
    save_file({"said": said.contiguous()}, f"{sys.argv[1]}/{name}-said.safetensors")
assert not any(name.split(".")[0] == "heedful" for name in sys.modules)
"""


def build(family):
    kind, config, words, *_ = FAMILIES[family]
    torch.manual_seed(0)
    model = getattr(T, kind)(getattr(T, config)(**words)).eval()
    for parameter in model.parameters():  # some begin as zeros
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return model


def gone(family):
    """The names of the layers that are left out."""
    return [
        f"{stack}.{number}"
        for stack, kept in FAMILIES[family][3].items()
        for number in range(4)
        if number not in kept
    ]


def by_hand(family, model):
    """The model of the same class with the layers that stay, put together here."""
    kind, config, words, kept, told, _ = FAMILIES[family]
    told = told or {"num_hidden_layers": len(next(iter(kept.values())))}
    small = getattr(T, kind)(getattr(T, config)(**{**words, **told})).eval()
    numbers = model.state_dict()
    for stack, stay in kept.items():
        layers = re.compile(rf"{re.escape(stack)}\.(\d+)(\..*)")
        for name in [name for name in numbers if layers.fullmatch(name)]:
            number, rest = layers.fullmatch(name).groups()
            x = numbers.pop(name)
            if int(number) in stay:
                numbers[f"{stack}.{stay.index(int(number))}{rest} "] = x
        numbers = {name.rstrip(): x for name, x in numbers.items()}
    small.load_state_dict(numbers)
    return small


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_model_of_its_class_with_so_many_layers(family):
    model, inputs = build(family), FAMILIES[family][5]()
    changed, want = without_layers(model, gone(family)), by_hand(family, model)
    with torch.no_grad():
        said, whole = changed(**inputs)[0], model(**inputs)[0]
        assert torch.equal(said, want(**inputs)[0])
        assert not torch.allclose(said, whole, atol=1e-3)
        if family in WRITERS:
            asked = {"input_ids": inputs["input_ids"], "max_new_tokens": 12, "do_sample": False}
            assert changed.generate(**asked).tolist() == want.generate(**asked).tolist()
    assert model.config.to_dict() == build(family).config.to_dict()
    assert original_config(changed).to_dict() == model.config.to_dict()
    config = {key: x for key, x in changed.config.to_dict().items() if "dtype" not in key}
    assert config == {key: want.config.to_dict()[key] for key in config}


def test_plain_checkpoints_open_without_heedful_and_say_the_same_bit_for_bit(tmp_path):
    from safetensors.torch import load_file, save_file

    said = {}
    for family, (*_, inputs) in FAMILIES.items():
        changed = Plan(dropped_layers=tuple(gone(family))).apply(build(family))
        save_stock(tmp_path / family, stock_model(changed), report={})
        save_file(inputs(), tmp_path / f"{family}.safetensors")
        with torch.no_grad():
            said[family] = changed(**inputs())[0]
    kinds = json.dumps({family: kind for family, (kind, *_) in FAMILIES.items()})
    run(OPEN, tmp_path, kinds, folder=tmp_path)
    for family, want in said.items():
        assert torch.equal(load_file(tmp_path / f"{family}-said.safetensors")["said"], want), family


@pytest.mark.parametrize("family", ["bert", "gemma3", "t5"])
def test_a_plan_keeps_it_beside_other_moves(family, tmp_path):
    model, inputs = build(family), FAMILIES[family][5]()
    site = {
        "bert": "encoder.layer.3.attention",
        "gemma3": "model.layers.3.self_attn",
        "t5": "decoder.block.3.layer.1.EncDecAttention",
    }[family]
    moves = {site: (KeepHeads(heads=(2, 3)),)}
    plan = Plan(moves=moves, dropped_layers=tuple(gone(family)))
    changed = plan.apply(model)
    assert changed.get_submodule(site) is not None
    save_model(tmp_path / "kept", changed, plan)
    loaded = load_model(tmp_path / "kept")
    with torch.no_grad():
        assert torch.equal(loaded(**inputs)[0], changed(**inputs)[0])
    assert why_not_stock(changed) is not None


def test_what_a_class_cannot_say_is_refused():
    def refused(family, layers, words, **more):
        kind, config, told, *_ = FAMILIES[family]
        model = getattr(T, kind)(getattr(T, config)(**{**told, **more}))
        found = why_not_without(model, layers)
        assert found is not None
        assert re.search(words, found), found
        with pytest.raises(UnsupportedError, match=words):
            without_layers(model, layers)

    first = ["decoder.block.0"]  # it makes the bias of the scores for all that follow
    refused("t5", first, r"T5ForConditionalGeneration with fewer layers, got decoder\.block\.0\.")
    cached = r"a cache must have a place for each of 4 layers that are left, got 3, as T5Config"
    refused("t5", ["encoder.block.1"], cached)
    scaled = {"scale_attn_by_inverse_layer_idx": True}
    where = r"transformer\.h\.2\.attn must be the same at every place, got scal\w+ = 0\.\d+, and"
    refused("gpt2", ["transformer.h.1"], where, **scaled)


def test_what_is_no_layer_is_refused():
    model = build("bert")
    with pytest.raises(ConfigError, match=r"got 'encoder\.layer\.4', which is none of its layers"):
        without_layers(model, ["encoder.layer.4"])
    every = [f"encoder.layer.{number}" for number in range(4)]
    with pytest.raises(ConfigError, match=r"a layer of encoder\.layer must stay"):
        without_layers(model, every)
    assert why_not_without(model, every[:3]) is None
    assert len(model.encoder.layer) == 4


def test_a_model_that_is_held_by_another_knows_its_layers_too():
    class Held(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, **given):
            return self.inner(**given)

    model, inputs = build("gemma3"), tokens()
    held = without_layers(Held(model), [f"inner.{layer}" for layer in gone("gemma3")])
    with torch.no_grad():
        want = without_layers(model, gone("gemma3"))(**inputs)[0]
        assert torch.equal(held(**inputs)[0], want)
    assert held.inner.config.num_hidden_layers == 2
