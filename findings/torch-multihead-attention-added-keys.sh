#!/usr/bin/env bash
# torch 2.13.0, nn.MultiheadAttention in eval() with add_zero_attn or add_bias_kv.
#
# Expected: need_weights only says whether weights are returned, and is_causal=True is a hint about a mask that is
# given all the same; neither changes the output.
# Seen: with a causal attn_mask, is_causal=True and need_weights=False (which is what nn.TransformerEncoderLayer
# passes) the output differs by 0.31 and 0.43 from that with need_weights=True, or with is_causal=False. torch pads
# the mask for the key that the module adds at the end, then replaces it by its causal switch, which is aligned to the
# first key and hides the added key from all. Weights that are asked for show a key that the output did not see.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn

for added, least in (({"add_zero_attn": True}, 0.2), ({"add_bias_kv": True}, 0.2)):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(16, 2, batch_first=True, **added).eval()
    x = torch.randn(1, 5, 16)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    with torch.no_grad():
        hinted, _ = layer(x, x, x, attn_mask=causal, is_causal=True, need_weights=False)
        plain, _ = layer(x, x, x, attn_mask=causal, is_causal=False, need_weights=False)
        shown, weights = layer(x, x, x, attn_mask=causal, is_causal=True, need_weights=True)
    away = (hinted - shown).abs().max().item()
    print(f"torch {torch.__version__}, {added}: need_weights changes the output by {away:.2f}; the added key is shown with {weights[0, 0, -1]:.2f}")
    assert (plain - shown).abs().max() < 1e-5, "without the hint both agree"
    assert away > least, "the added key is seen now: this has changed"
print("as described")
PYTHON
