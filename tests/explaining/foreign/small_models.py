"""Small models of transformers with random weights, made from their configs."""

import pytest
import torch

TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
PAIR = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "vocab_size": 64,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}


def build(kind, config, implementation="sdpa", **settings):
    """Return a model whose weights are large enough that attention is not even."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    made = getattr(transformers, config)(**settings)
    made._attn_implementation = implementation
    model = getattr(transformers, kind)(made).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return model


def bert(**more):
    """A classifier that reads at `[CLS]`."""
    return build("BertForSequenceClassification", "BertConfig", **TEXT, num_labels=3, **more)


def llama(kind="LlamaForCausalLM", **more):
    """A model that looks back, with shared heads of keys and values."""
    return build(kind, "LlamaConfig", **TEXT, num_key_value_heads=2, **more)


def gpt2(**more):
    """Another one."""
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64, "n_positions": 64}
    return build("GPT2LMHeadModel", "GPT2Config", **sizes, bos_token_id=1, **more)


def bart(**more):
    """An encoder-decoder."""
    return build("BartForConditionalGeneration", "BartConfig", **PAIR, **more)


def t5(**more):
    """Another one, with biases of distances."""
    sizes = {"d_model": 32, "d_kv": 8, "num_heads": 4, "num_layers": 2, "d_ff": 48}
    special = {"vocab_size": 64, "decoder_start_token_id": 0}
    return build("T5ForConditionalGeneration", "T5Config", **sizes, **special, **more)
