#!/usr/bin/env bash
# peft 0.21.2 with torch 2.13.0: `adapter_names`, which says for each example of a batch whose adapter it is for.
#
# Expected: each example goes through its own adapter, as with LoRA, or there is an error: LoRA with DoRA raises one, and
# so does a name that does not exist.
# Seen: with IA3, LoHa, LoKr, OFT, HRA, VeRA and LayerNorm tuning the argument is taken and left: all examples go through
# the active adapter, without a word, whatever the names are, those of no adapter included. A server that has one
# adapter for each customer answers everyone as the last one that was set active.
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
tokens = torch.randint(4, 64, (1, 8), generator=torch.Generator().manual_seed(1)).expand(2, -1)
WHERE = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"]}
CONFIGS = {
    "LoRA": lambda: peft.LoraConfig(r=4, **WHERE),
    "DoRA": lambda: peft.LoraConfig(r=4, use_dora=True, **WHERE),
    "IA3": lambda: peft.IA3Config(feedforward_modules=[], **WHERE),
    "LoHa": lambda: peft.LoHaConfig(r=4, **WHERE),
    "LoKr": lambda: peft.LoKrConfig(r=4, **WHERE),
    "OFT": lambda: peft.OFTConfig(r=0, oft_block_size=8, **WHERE),
    "HRA": lambda: peft.HRAConfig(r=4, **WHERE),
    "VeRA": lambda: peft.VeraConfig(r=4, **WHERE),
    "LayerNorm tuning": lambda: peft.LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]),
}


def built(config):
    torch.manual_seed(0)
    base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    for parameter in base.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model = peft.get_peft_model(base, config(), adapter_name="first")
    model.add_adapter("second", config())
    for name in ("second", "first"):
        model.set_adapter(name)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


def said(model, **names):
    with torch.no_grad():
        return model(input_ids=tokens, **names).logits


def told(model, names):
    try:
        return said(model, adapter_names=names)
    except ValueError as error:
        return str(error)


print(f"peft {peft.__version__}, torch {torch.__version__}")
for kind, config in CONFIGS.items():
    model = built(config)
    alone = {}
    for name in ("second", "first"):
        model.set_adapter(name)
        alone[name] = said(model)[1]
    apart = (alone["first"] - alone["second"]).abs().max().item()
    mixed, none = told(model, ["first", "second"]), told(model, ["first", "nobody"])
    if isinstance(mixed, str):
        print(f"{kind}: {mixed}")
        assert kind == "DoRA", "this has changed"
        continue
    off = {name: (mixed[1] - logits).abs().max().item() for name, logits in alone.items()}
    print(f"{kind}: adapters differ by {apart:.2f}; an example for the second is off from it by {off['second']:.1e}, from the first by {off['first']:.1e}; a name of no adapter: {none if isinstance(none, str) else 'taken'}")
    assert apart > 0.01 and isinstance(none, str) == (kind == "LoRA"), "this has changed"
    assert (off["second"] < 1e-4) == (kind == "LoRA") and (off["first"] < 1e-4) != (kind == "LoRA"), "this has changed"
print("as described")
PYTHON
