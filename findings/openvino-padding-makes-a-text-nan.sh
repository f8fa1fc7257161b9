#!/usr/bin/env bash
# openvino 2026.4.1 with torch 2.13.0 and transformers 5.24.0: a converted language model, texts of a batch padded on the left.
#
# Expected: what torch computes. Rows of padding see no key at all; scaled_dot_product_attention of torch gives 0 there,
# and the masks of transformers leave such rows as they are.
# Seen: openvino gives NaN in such rows, of boolean masks and of -inf alike. In the next layer they are keys and values of
# the text itself, hidden ones, but 0 times NaN is NaN: all logits of each padded text are NaN, while the text that fills
# its row is right to 1e-6. With attention "eager", whose masks hold the lowest number in place of -inf, all are right.
# That such a row is NaN is known (openvinotoolkit/openvino#35959).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.24.0 \
    openvino==2026.4.1
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import numpy as np
import openvino
import torch
import transformers

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


class Logits(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            attn_implementation=kind,
        ))

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits


class Attention(torch.nn.Module):
    def forward(self, x, mask):
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def both(module, *inputs):
    """What torch says and what openvino says."""
    with torch.no_grad():
        want = module(*inputs).numpy()
    converted = openvino.convert_model(module.eval(), example_input=inputs)
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return want, compiled([each.numpy() for each in inputs])[0]


print(f"openvino {openvino.__version__}, torch {torch.__version__}, transformers {transformers.__version__}")
seen = torch.ones(1, 1, 4, 4, dtype=torch.bool)
seen[..., 2, :] = False
for name, mask in (("boolean", seen), ("of -inf", torch.zeros(1, 1, 4, 4).masked_fill(~seen, -torch.inf))):
    want, found = both(Attention(), torch.randn(1, 1, 4, 8), mask)
    print(f"a row that sees nothing, mask {name}: torch {want[0, 0, 2, :2]}, openvino {found[0, 0, 2, :2]}")
    assert (want[0, 0, 2] == 0).all() and np.isnan(found[0, 0, 2]).all(), "this has changed"
ids = torch.randint(4, 64, (2, 8), generator=torch.Generator().manual_seed(1))
mask = torch.ones_like(ids)
ids[1, :3], mask[1, :3] = 0, 0
for kind in ("sdpa", "eager"):
    want, found = both(Logits(kind).eval(), ids, mask)
    whole, padded = np.abs(found - want)[0].max(), np.abs(found - want)[1, 3:]
    print(f"{kind}: the whole text is off by {whole:.1e}, the padded one by {padded.max():.1e}; NaN in {np.isnan(found[1]).mean():.0%} of its logits")
    assert whole < 1e-4 and np.isfinite(want).all(), "this has changed"
    assert np.isnan(padded).all() if kind == "sdpa" else padded.max() < 1e-4, "this has changed"
print("as described")
PYTHON
