"""Families of transformers through "heedful": what eager attention gives, or a refusal by name."""

import re
import warnings

import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.kernels import transformers as hf

T = pytest.importorskip("transformers", reason="transformers is not installed")
# The seams of other libraries warn of things that are theirs to change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

IDS = {"vocab_size": 61, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
TEXT = IDS | {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "sliding_window": 4,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
SPARSE = TEXT | EXPERTS
SPARSE |= {"num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 2, "topk_group": 1}
SPARSE |= {"n_shared_experts": 1, "first_k_dense_replace": 1, "kv_lora_rank": 16, "q_lora_rank": 16}
SPARSE |= {"qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12}
SPARSE |= {"index_topk": 4, "index_n_heads": 2, "index_head_dim": 8}
PAIR = IDS | {"d_model": 32, "max_position_embeddings": 64, "decoder_start_token_id": 1}
for part in ("encoder", "decoder"):
    PAIR |= {f"{part}_layers": 1, f"{part}_attention_heads": 4, f"{part}_ffn_dim": 40}
PAIR |= {"forced_eos_token_id": None}
SERIES = {"prediction_length": 3, "context_length": 6, "lags_sequence": [1, 2], "d_model": 32}
SERIES |= {f"num_{x}_features": 0 for x in ("static_categorical", "static_real", "dynamic_real")}
SERIES |= {"num_time_features": 1, "encoder_layers": 1, "decoder_layers": 1}
TINY = {"hidden_size": 32, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64} | IDS

# model, config, settings, the keyword arguments of a call beside texts
FAMILIES = {
    "nllb_moe": (
        "NllbMoeForConditionalGeneration",
        "NllbMoeConfig",
        PAIR | {"num_experts": 2, "encoder_sparse_step": 1, "decoder_sparse_step": 1},
    ),
    "pegasus_x": ("PegasusXForConditionalGeneration", "PegasusXConfig", PAIR | {"block_size": 4}),
    "bigbird_pegasus": (
        "BigBirdPegasusForConditionalGeneration",
        "BigBirdPegasusConfig",
        PAIR | {"attention_type": "original_full"},
    ),
    "bart": ("BartForConditionalGeneration", "BartConfig", PAIR),
    "informer": (
        "InformerModel",
        "InformerConfig",
        SERIES | {"attention_type": "full", "distil": False},
    ),
    "deepseek_v32": ("DeepseekV32ForCausalLM", "DeepseekV32Config", SPARSE),
    "glm_moe_dsa": ("GlmMoeDsaForCausalLM", "GlmMoeDsaConfig", SPARSE),
    "inkling2": (
        "Inkling2ForCausalLM",
        "Inkling2TextConfig",
        TEXT
        | EXPERTS
        | {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8}
        | {"rel_extent": 8, "d_rel": 4, "unpadded_vocab_size": 61, "n_routed_experts": 4}
        | {"layer_types": ["hybrid_sliding", "hybrid"]},
    ),
    "gpt_oss": (
        "GptOssForCausalLM",
        "GptOssConfig",
        TEXT | {"num_local_experts": 2, "num_experts_per_tok": 1},
    ),
    "gemma4": (
        "Gemma4ForCausalLM",
        "Gemma4TextConfig",
        TEXT
        | {"global_head_dim": 8, "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 1}
        | {"vocab_size_per_layer_input": 61, "num_hidden_layers": 3}
        | {"layer_types": ["sliding_attention", "full_attention", "full_attention"]},
    ),
    "mistral": ("MistralForCausalLM", "MistralConfig", TEXT),
    "git": (
        "GitForCausalLM",
        "GitConfig",
        TEXT
        | {"vision_config": {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1}},
    ),
}
REFUSED = {
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", TEXT, "softcap must be None, got scores"),
}
AROUND = {
    "bloom": ("BloomForCausalLM", "BloomConfig", TINY),
    "codegen": ("CodeGenForCausalLM", "CodeGenConfig", TINY | {"rotary_dim": 4}),
    "deberta": ("DebertaModel", "DebertaConfig", TEXT),
    "falcon": (
        "FalconForCausalLM",
        "FalconConfig",
        IDS | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    ),
    "gptj": ("GPTJForCausalLM", "GPTJConfig", TINY | {"rotary_dim": 4}),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        TEXT | {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    ),
    "mpt": ("MptForCausalLM", "MptConfig", IDS | {"d_model": 32, "n_heads": 4, "n_layers": 2}),
    "xglm": (
        "XGLMForCausalLM",
        "XGLMConfig",
        IDS | {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 40},
    ),
}


@pytest.fixture(autouse=True)
def quiet():
    hf.register()
    before = T.logging.get_verbosity()
    T.logging.set_verbosity_error()
    yield
    T.logging.set_verbosity(before)


def made(model, config, settings, *, attention="eager"):
    """A small model whose attention is far from even."""
    if not hasattr(T, model):
        pytest.skip(f"transformers {T.__version__} has no {model}")
    torch.manual_seed(0)
    built = (
        getattr(T, model)
        ._from_config(getattr(T, config)(**settings), attn_implementation=attention)
        .eval()
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in built.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return built


def texts(model, *, padding):
    """What the model is called with, and which of its answers count."""
    generator = torch.Generator().manual_seed(1)
    if "prediction_length" in model.config.to_dict():
        past, future = ((2, 8), (2, 3))
        given = {"past_values": torch.randn(past, generator=generator)}
        given |= {"past_time_features": torch.randn(*past, 1, generator=generator)}
        given |= {"past_observed_mask": torch.ones(past)}
        given |= {"future_values": torch.randn(future, generator=generator)}
        given |= {"future_time_features": torch.randn(*future, 1, generator=generator)}
        return given, torch.ones(future, dtype=torch.bool)
    ids = torch.randint(3, 61, (2, 9), generator=generator)
    given, count = {"input_ids": ids}, torch.ones(2, 9, dtype=torch.bool)
    if padding:
        count[1, slice(6, None) if padding == "right" else slice(0, 3)] = False
        given["attention_mask"] = count.long()
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids[:, :7]
        count = torch.ones(2, 7, dtype=torch.bool)
    return given, count


def answer(model, given, **more):
    torch.manual_seed(0)  # what is drawn in the forward of some families
    with torch.no_grad():
        output = model(**given, **more)
    return output.logits if "logits" in output else output.last_hidden_state


def assert_alike(one, other):
    assert one.isfinite().all()
    # two layers, the experts of some of them; what is hidden or not moves answers by a tenth
    assert float((one - other).abs().max()) <= 3e-5 * float(one.abs().max())


@pytest.mark.parametrize("padding", [None, "left", "right"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_gives_what_eager_gives(name, padding):
    model = made(*FAMILIES[name])
    given, count = texts(model, padding=padding)
    want = answer(model, given)
    model.set_attn_implementation("heedful")
    assert model.config._attn_implementation in (hf.NAME, hf.NUMBERS)
    assert_alike(want[count], answer(model, given)[count])


@pytest.mark.parametrize("name", [x for x in FAMILIES if x not in ("informer", "git")])
def test_a_family_writes_what_eager_writes(name):
    model = made(*FAMILIES[name])
    given, _ = texts(model, padding="right" if model.config.is_encoder_decoder else "left")
    given.pop("decoder_input_ids", None)
    settings = {"do_sample": False, "max_new_tokens": 4, "min_new_tokens": 4}
    found = []
    for attention in ("eager", "heedful"):
        model.set_attn_implementation(attention)
        found.append(model.generate(**given, **settings, pad_token_id=0))
    assert torch.equal(*found)


def test_queries_that_nobody_asks_for_are_dropped():
    """Gemma 4 cuts the mask of its last layers, where there is one."""
    model = made(*FAMILIES["gemma4"])
    given, _ = texts(model, padding=None)
    want = answer(model, given)
    model.set_attn_implementation("heedful")
    for kept in (1, 3):
        assert_alike(want[:, -kept:], answer(model, given, logits_to_keep=kept))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_by_name(name):
    *about, message = REFUSED[name]
    model = made(*about)
    model.set_attn_implementation("heedful")
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        answer(model, texts(model, padding=None)[0])


@pytest.mark.parametrize("name", AROUND)
def test_a_model_that_goes_around_the_interface_says_so_and_stays_right(name):
    plain = made(*AROUND[name])
    if plain._can_set_attn_implementation():
        pytest.skip(f"in transformers {T.__version__} it goes through the interface")
    message = f"{AROUND[name][0]} stays with attention 'eager', not 'heedful'"
    with pytest.warns(UserWarning, match=re.escape(message)):
        model = made(*AROUND[name], attention="heedful")
    assert model.config._attn_implementation == "eager"
    given, _ = texts(plain, padding=None)
    assert torch.equal(answer(plain, given), answer(model, given))


def test_a_family_that_goes_through_it_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = made(*FAMILIES["mistral"], attention="heedful")
        other = made(*FAMILIES["nllb_moe"], attention="heedful")
    assert model.config._attn_implementation == hf.NAME
    assert other.config._attn_implementation == hf.NUMBERS


def test_a_class_that_inherits_from_a_model_is_what_it_inherits_from():
    class Own(T.BloomForCausalLM):
        """Its file has no attention; that of its base goes around the interface."""

    Own.__module__ = "typing"
    config = T.BloomConfig(**AROUND["bloom"][2])
    with pytest.warns(UserWarning, match="Own stays with attention 'eager', not 'heedful'"):
        assert Own._from_config(config, attn_implementation="heedful").config._attn_implementation


def test_an_encoder_of_images_that_calls_itself_causal_sees_all():
    """Phi-4's, which sdpa of transformers takes at its word."""
    if not hasattr(T, "Phi4MultimodalVisionModel"):
        pytest.skip(f"transformers {T.__version__} has no Phi4MultimodalVisionModel")
    from transformers import Phi4MultimodalVisionConfig, Phi4MultimodalVisionModel

    sizes = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2}
    config = Phi4MultimodalVisionConfig(
        **sizes, num_attention_heads=4, image_size=32, crop_size=32, patch_size=8
    )
    torch.manual_seed(0)
    model = Phi4MultimodalVisionModel._from_config(config, attn_implementation="eager").eval()
    given = {"pixel_values": torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))}
    want = answer(model, given)
    model.set_attn_implementation("heedful")
    assert_alike(want, answer(model, given))
