#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0: Bamba (mixed Mamba-2 and attention layers), a text read piece by piece with a cache.
#
# Expected: a model that is given a cache and no position_ids counts on from what the cache holds, as Llama and
# GraniteMoeHybrid, a descendant of Bamba, do; the logits are those of the whole text, in whatever pieces it is read.
# Seen: Bamba counts each piece from 0 again. In a loop written by hand, one token a step, all tokens are at position 0;
# a question read after a stored prompt begins where the prompt began. Logits are off by as much as they are large, with
# no error. generate() gives the positions itself and is right, and so is the loop with position_ids.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.24.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import torch
import transformers

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
MODELS = {
    "Llama": {},
    "GraniteMoeHybrid": {
        **MAMBA, "layer_types": ["mamba", "attention", "mamba"], "position_embedding_type": "rope",
        "shared_intermediate_size": 48, "num_local_experts": 0,
    },
    "Bamba": {**MAMBA, "attn_layer_indices": [1]},
}
text = torch.randint(4, 64, (1, 24), generator=torch.Generator().manual_seed(1))


def built(family):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **MODELS[family])
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def in_pieces(model, lengths, told=False):
    cache, found, start = transformers.DynamicCache(config=model.config), [], 0
    for ids in text.split(lengths, 1):
        positions = {"position_ids": torch.arange(start, start + ids.shape[1])[None]} if told else {}
        found.append(model(input_ids=ids, use_cache=True, cache=cache, **positions).logits)
        start += ids.shape[1]
    return torch.cat(found, 1)


print(f"transformers {transformers.__version__}, torch {torch.__version__}")
for family in MODELS:
    model = built(family)
    with torch.no_grad():
        whole = model(input_ids=text, use_cache=False).logits
        off = {
            name: (in_pieces(model, *how) - whole).abs().max().item()
            for name, how in {"one by one": ([1] * 24,), "16 and 8": ([16, 8],), "one by one, told": ([1] * 24, True)}.items()
        }
        found = model.generate(
            text, attention_mask=torch.ones_like(text), max_new_tokens=6, do_sample=False, output_logits=True,
            return_dict_in_generate=True,
        )
        again = model(input_ids=found.sequences[:, :-1], use_cache=False).logits[:, -6:]
    off["generate()"] = (torch.stack(found.logits, 1) - again).abs().max().item()
    print(f"{family}, logits up to {whole.abs().max():.1f}, off by", {name: f"{error:.1e}" for name, error in off.items()})
    wrong = [error > 1 for error in off.values()]
    right = [error < 1e-3 for error in off.values()]
    expected = [True, True, False, False] if family == "Bamba" else [False] * 4
    assert wrong == expected and right == [not each for each in expected], "this has changed"
print("as described")
PYTHON
