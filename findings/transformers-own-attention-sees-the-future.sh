#!/usr/bin/env bash
# transformers 5.23.0 (5.24.0 alike): a registered attention function in models that never supported SDPA.
#
# Expected: transformers' own `sdpa_attention_forward`, registered under another name together with transformers' own
# `sdpa_mask`, as the documentation of the attention interface shows, computes what the model computes with "eager".
# Seen: in the decoders of PegasusX, BigBird-Pegasus and NLLB-MoE every position sees the future. `sdpa_mask` leaves a
# causal mask out (None), because torch's causal switch does the same; the switch is set by `module.is_causal`, which is
# False in these modules; and `set_attn_implementation` refuses "sdpa" for them, but not a name of one's own.
# BART, with is_causal=True in its decoder, is right. `eager_mask` is right for all of them.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import warnings

import torch
import transformers
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

warnings.filterwarnings("ignore")
for name, mask in (("own", sdpa_mask), ("own-numbers", eager_mask)):
    AttentionInterface.register(name, sdpa_attention_forward)
    AttentionMaskInterface.register(name, mask)
SIZES = {
    "vocab_size": 61, "d_model": 48, "max_position_embeddings": 64, "encoder_layers": 1, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40,
    "decoder_start_token_id": 1, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
MODELS = {
    "Bart": ({}, False),
    "PegasusX": ({"block_size": 4, "num_global_tokens": 2}, True),
    "BigBirdPegasus": ({"attention_type": "original_full"}, True),
    "NllbMoe": ({"num_experts": 2, "encoder_sparse_step": 0, "decoder_sparse_step": 0}, True),
}
source = torch.arange(3, 11)[None]
target = torch.arange(20, 27)[None]
other = target.clone()
other[:, -1] = 5
for family, (more, sees) in MODELS.items():
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **more, attn_implementation="eager")
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    moved = {}
    for name in ("eager", "own-numbers", "own"):
        model.set_attn_implementation(name)
        with torch.no_grad():
            one, two = (model(input_ids=source, decoder_input_ids=x).logits for x in (target, other))
        moved[name] = (one - two)[:, :-1].abs().max().item()
    print(f"transformers {transformers.__version__}, {family}: logits before a changed last token move by {moved}")
    assert moved["eager"] < 1e-5 and moved["own-numbers"] < 1e-5
    assert (moved["own"] > 0.1) is sees, "this has changed"
print("as described")
PYTHON
