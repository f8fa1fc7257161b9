#!/usr/bin/env bash
# peft 0.21.2 with torch 2.13.0: Lily adapters (LilyConfig) in a model that writes.
#
# Expected: an adapter of linear layers works on each token by itself, as LoRA does: a causal model stays causal, and a
# text's logits are its own, whatever stands beside it.
# Seen: the router's weights are averaged over all tokens of all texts of the batch before they mix the adapter's
# matrices. So each position sees those after it (in training, what it is to predict), each text its neighbours and its
# padding, and generate(), which has one token at a time, computes other logits than the training did. The docstring of
# LilyConfig speaks of one mixture "for each forward pass"; that positions see later ones it does not say.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.24.0 \
    accelerate==1.15.0 peft==0.21.2
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import peft
import torch
import transformers

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
tokens = torch.randint(4, 64, (1, 12), generator=torch.Generator().manual_seed(1))
CONFIGS = {
    "LoRA": (peft.LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj"]), False),
    "Lily": (peft.LilyConfig(task_type="CAUSAL_LM", r=8, num_B=2, stride_A=2, target_modules=["q_proj", "v_proj"]), True),
}


def trained(config):
    """A model with an adapter that has learned a few steps of a task: to say each token of a text twice."""
    torch.manual_seed(0)
    base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval()
    for parameter in base.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model = peft.get_peft_model(base, config)
    learn = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.05)
    for _ in range(30):
        batch = torch.randint(4, 64, (8, 6)).repeat_interleave(2, 1)
        model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        learn.step()
        learn.zero_grad()
    return model.eval()


def logits(model, ids, mask=None):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids) if mask is None else mask, use_cache=False).logits


print(f"peft {peft.__version__}, torch {torch.__version__}")
for name, (config, sees) in CONFIGS.items():
    model = trained(config)
    want = logits(model, tokens)
    other = tokens.clone()
    other[0, 6:] = 5
    pad = torch.zeros(1, 6, dtype=torch.long)
    mask = torch.cat([torch.ones_like(tokens), pad], 1)
    written = model.generate(
        input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=4, do_sample=False, eos_token_id=None,
        pad_token_id=0, return_dict_in_generate=True, output_logits=True,
    )
    moved = {
        "by later tokens": logits(model, other)[:, :6] - want[:, :6],
        "by a text beside it": logits(model, torch.cat([tokens, tokens.flip(1)]))[:1] - want,
        "by padding behind it": logits(model, torch.cat([tokens, pad], 1), mask)[:, :12] - want,
        "by writing with a cache": torch.stack(written.logits, 1)[:, 1:] - logits(model, written.sequences)[:, -4:-1],
    }
    moved = {how: by.abs().max().item() for how, by in moved.items()}
    print(f"{name}: logits move", ", ".join(f"{how} by {by:.1e}" for how, by in moved.items()))
    assert all((by > 1e-2) == sees and (by < 1e-3) != sees for by in moved.values()), "this has changed"
print("as described")
PYTHON
