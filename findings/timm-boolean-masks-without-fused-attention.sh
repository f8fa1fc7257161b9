#!/usr/bin/env bash
# timm 1.0.31 with torch 2.14.1: boolean masks for attention pooling and attention over images.
#
# Expected: `attn_mask` means the same whether attention is fused or not, as in timm's `Attention`, which takes both kinds
# of mask both ways; TIMM_FUSED_ATTN=0, set_fused_attn(False) and set_exportable(True) only choose how it is computed.
# Seen: `AttentionPoolLatent`, `Attention2d` and `MultiQueryAttention2d` hide what a boolean mask hides while attention is
# fused. Without fusion, which is also how models are exported, the mask is added to the scores, as 1 and 0: nothing is
# hidden, and a change of 10 behind the mask moves what comes out by 1.5 to 26.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 timm==1.0.31
"$folder/venv/bin/python" - <<'PYTHON'
import timm
import torch
from timm.layers import Attention, AttentionPoolLatent, set_fused_attn
from timm.layers.attention2d import Attention2d, MultiQueryAttention2d

torch.manual_seed(0)
sequence, image = torch.randn(2, 9, 32), torch.randn(2, 32, 3, 3)
others = sequence.clone(), image.clone()
others[0][:, 6:] += 10
others[1][:, :, 2] += 10  # the last three of nine places
seen = torch.ones(2, 1, 9, 9, dtype=torch.bool)
seen[..., 6:] = False
CASES = {
    Attention: (sequence, others[0], seen, lambda x: x[:, :6]),
    AttentionPoolLatent: (sequence, others[0], seen[:, :, :1], lambda x: x),
    Attention2d: (image, others[1], seen, lambda x: x[:, :, :2]),
    MultiQueryAttention2d: (image, others[1], seen, lambda x: x[:, :, :2]),
}
for kind, (one, other, mask, kept) in CASES.items():
    moved = {}
    for fused in (True, False):
        set_fused_attn(fused)
        torch.manual_seed(1)
        module = kind(32, num_heads=4).eval()
        assert module.fused_attn is fused
        with torch.no_grad():
            moved[fused] = (kept(module(one, attn_mask=mask)) - kept(module(other, attn_mask=mask))).abs().max().item()
    print(f"timm {timm.__version__}, {kind.__name__}: moved by {moved[True]:.1e} fused, by {moved[False]:.1e} not fused")
    assert moved[True] < 1e-6 and (moved[False] > 1) is (kind is not Attention), "this has changed"
print("as described")
PYTHON
