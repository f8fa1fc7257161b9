#!/usr/bin/env bash
# transformers 5.24.0 (5.23.0 alike) with torch 2.13.0: a model in float64, attention "eager", a batch padded on the left.
#
# Expected: float64 throughout, for which one takes it: to have numbers to measure float32 by. "sdpa" gives that.
# Seen: "eager" takes softmax in float32 whatever the model is. Its logits are right to 1e-6, as in float32, and a check of
# another kernel against them measures its own yardstick. Its mask holds the lowest number of float64 at hidden keys,
# which is beyond float32 and becomes -inf there: a row of padding, which sees nothing, is NaN, in the next layer that is
# a hidden key, and 0 times NaN is NaN. All logits of each padded text are NaN, and generate() writes token 0 for it. In
# float32, where the lowest number stays one, the same batch is right. That float64 is cut to float32 is known
# (huggingface/transformers#48459).
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
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None,
}
ids = torch.randint(4, 64, (2, 12), generator=torch.Generator().manual_seed(1))
mask = torch.ones_like(ids)
ids[1, :4], mask[1, :4] = 0, 0


def logits(family, kind, dtype):
    """Of the whole text, and of the padded one at the tokens that are its own, with what is written after them."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, attn_implementation=kind)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    model = model.to(dtype)
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.double()
        written = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False)[:, 12:]
    return found[0], found[1, 4:], written.tolist()


print(f"transformers {transformers.__version__}, torch {torch.__version__}")
for family in ("Llama", "Qwen3", "Mistral"):
    whole, padded, right = logits(family, "sdpa", torch.float64)
    for kind, dtype in (("eager", torch.float64), ("eager", torch.float32), ("sdpa", torch.float32)):
        one, other, written = logits(family, kind, dtype)
        off = (one - whole).abs().max().item()
        missing = other.isnan().double().mean().item()
        print(f"{family}, {kind} in {dtype}: the whole text off by {off:.1e}, NaN in {missing:.0%} of the padded one's logits; written {written[1]}, not {right[1]}")
        assert 1e-8 < off < 1e-3, "this has changed"
        if dtype == torch.float64:
            assert missing == 1 and written[0] == right[0] and written[1] == [0] * 4, "this has changed"
        else:
            assert (other - padded).abs().max() < 1e-3 and written == right, "this has changed"
print("as described")
PYTHON
