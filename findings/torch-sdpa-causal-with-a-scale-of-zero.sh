#!/usr/bin/env bash
# torch 2.13.0, CPU, float32: scaled_dot_product_attention(is_causal=True) with a scale of zero or below.
#
# Expected: a scale of 0 weighs all keys that may be seen alike, and one below 0 prefers the least similar; the same as
# with the causal mask given as attn_mask, and as with the backend MATH.
# Seen: with the fused kernel, the default, every row is nan but the last, which hides no key. It seems to write -inf at
# hidden keys before it multiplies by the scale, and -inf times 0 is nan, times -1 inf. As attn_mask the mask is right.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat >"$folder/causal.py" <<'PYTHON'
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

torch.manual_seed(0)
query, key, value = torch.randn(3, 1, 1, 5, 8)
past = torch.ones(5, 5, dtype=torch.bool).tril()


def told(output, right):
    rows = output.isnan().any(-1).sum()
    return f"{rows} of 5 rows nan" if rows else "right" if torch.allclose(output, right, atol=1e-5) else "wrong"


for scale in (1.0, 0.0, -1.0):
    scores = (scale * query @ key.mT).masked_fill(~past, -torch.inf)
    right = scores.softmax(-1) @ value
    causal = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
    masked = scaled_dot_product_attention(query, key, value, past, scale=scale)
    with sdpa_kernel(SDPBackend.MATH):
        plain = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
    said = (f"{name} {told(x, right)}" for name, x in {"is_causal": causal, "attn_mask": masked, "MATH": plain}.items())
    print(f"scale {scale}:", ", ".join(said))
PYTHON
found="$("$folder/venv/bin/python" "$folder/causal.py")"
echo "$found"
expected="scale 1.0: is_causal right, attn_mask right, MATH right
scale 0.0: is_causal 4 of 5 rows nan, attn_mask right, MATH right
scale -1.0: is_causal 4 of 5 rows nan, attn_mask right, MATH right"
[ "$found" = "$expected" ] || { echo "this has changed"; exit 1; }
echo "as described"
