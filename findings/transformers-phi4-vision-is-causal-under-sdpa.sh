#!/usr/bin/env bash
# transformers 5.23.0 (5.24.0 alike): the vision tower of Phi-4 multimodal under its default attention.
#
# Expected: "sdpa", which transformers chooses by itself, gives what "eager" gives; patches of an image see all patches.
# Seen: under "sdpa" the tower attends causally. Its attention says `is_causal = True`, its mask function makes no mask
# where all patches are real, and the sdpa function then switches torch's causal mode on. The outputs differ by more
# than 1 with random weights. With "eager" a change of the last patch reaches the first one; with "sdpa" it does not.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
import transformers

config = transformers.Phi4MultimodalVisionConfig(
    hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, image_size=32, crop_size=32, patch_size=8
)
torch.manual_seed(0)
model = transformers.Phi4MultimodalVisionModel._from_config(config, attn_implementation="eager").eval()
for parameter in model.parameters():
    if parameter.ndim > 1:
        torch.nn.init.normal_(parameter, std=0.15)
image = torch.randn(1, 3, 32, 32)
other = image.clone()
other[:, :, -8:, -8:] += 1.0  # the last of 16 patches
found = {}
for name in ("eager", "sdpa"):
    model.set_attn_implementation(name)
    with torch.no_grad():
        found[name] = model(image)[0], model(other)[0]
moved = {name: (one - two)[:, 0].abs().max().item() for name, (one, two) in found.items()}
away = (found["eager"][0] - found["sdpa"][0]).abs().max().item()
print(f"transformers {transformers.__version__}: eager and sdpa differ by {away:.2f}; the first patch feels the last one by {moved}")
assert away > 0.1 and moved["eager"] > 1e-3 and moved["sdpa"] < 1e-6, "this has changed"
print("as described")
PYTHON
