#!/usr/bin/env bash
# peft 0.21.2 with torch 2.13.0: LoRA on the feed-forward layers of nn.TransformerEncoderLayer.
#
# Expected: an adapter that was trained acts in eval() as it did in train(); without dropout both give the same output.
# Seen: in eval() the adapter does nothing at all: the output is bit for bit that of the model with its adapter switched
# off. torch's fused path reads `linear1.weight`, which is the frozen one inside peft's layer, and never calls the layer;
# the adapter's own parameters, which need gradients, are not among those that would keep torch from that path.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.23.0 peft==0.21.2
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import warnings

import peft
import torch
from torch import nn

warnings.filterwarnings("ignore")
torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
config = peft.LoraConfig(target_modules=["linear1", "linear2"], r=4, init_lora_weights=False)
model = peft.get_peft_model(encoder, config)
x = torch.randn(2, 5, 16)
with torch.no_grad():
    trained = model.train()(x)
    used = model.eval()(x)
    with model.disable_adapter():
        without = model(x)
away = (trained - used).abs().max().item()
print(f"torch {torch.__version__}, peft {peft.__version__}: train() and eval() differ by {away:.2f}; in eval() the adapter changes {(used - without).abs().max():.1e}")
assert away > 0.1 and torch.equal(used, without), "this has changed"
print("as described")
PYTHON
