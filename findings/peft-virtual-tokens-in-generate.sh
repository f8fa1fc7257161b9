#!/usr/bin/env bash
# peft 0.21.2 with transformers 5.24.0: generate() of models with virtual tokens (prompt tuning, P-tuning, prefix tuning).
#
# Expected: generate() computes at each step what forward() computes of the same tokens; LoRA does.
# Seen: with prompt tuning and P-tuning all but the first token are chosen by wrong logits. transformers 5.24 calls the
# cache `cache`; peft, which asks for `past_key_values`, believes at each step that there is none yet, and puts the
# virtual tokens in again, before the last token and behind the cache that holds them. With prefix tuning the prefix goes
# in under the old name beside an empty cache under the new one, which is what is used: logits are those of the model
# without any prefix. No word of it. use_cache=False helps prompt tuning and P-tuning.
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
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
tokens = torch.randint(4, 64, (1, 12), generator=torch.Generator().manual_seed(1))
CONFIGS = {
    "LoRA": (peft.LoraConfig(task_type="CAUSAL_LM", r=4), "right"),
    "prompt tuning": (peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5), "wrong from the second"),
    "P-tuning": (peft.PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=5), "wrong from the second"),
    "prefix tuning": (peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5), "without the prefix"),
}


def built(config):
    torch.manual_seed(0)
    base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval()
    for parameter in base.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model = peft.get_peft_model(base, config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.5 * torch.randn_like(parameter)
    return model


def steps(model, **settings):
    """The tokens with five more, and the logits that chose them."""
    found = model.generate(
        input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=5, do_sample=False, eos_token_id=None,
        pad_token_id=0, return_dict_in_generate=True, output_logits=True, **settings,
    )
    return found.sequences, torch.stack(found.logits, 1)


def off(found, model, sequences):
    """How far the logits of each step are from those of one forward pass."""
    with torch.no_grad():
        want = model(input_ids=sequences, attention_mask=torch.ones_like(sequences)).logits[:, -6:-1]
    return (found - want).abs().amax((0, 2)).tolist()


print(f"peft {peft.__version__}, transformers {transformers.__version__}")
for name, (config, state) in CONFIGS.items():
    model = built(config)
    sequences, logits = steps(model)
    errors = off(logits, model, sequences)
    with model.disable_adapter():
        base = max(off(logits, model, sequences))
    slow, recomputed = steps(model, use_cache=False)
    again = off(recomputed, model, slow)
    print(f"{name}: logits off by {[f'{error:.0e}' for error in errors]} step by step; from the model's without an adapter by {base:.0e}; with use_cache=False by {[f'{error:.0e}' for error in again]}")
    wrong = [error > 0.1 for error in errors]
    expected = {"right": [False] * 5, "wrong from the second": [False] + [True] * 4, "without the prefix": [True] * 5}
    assert wrong == expected[state], "this has changed"
    assert (base < 1e-3) == (state == "without the prefix"), "this has changed"
    assert state == "without the prefix" or max(again) < 1e-3, "this has changed"
print("as described")
PYTHON
