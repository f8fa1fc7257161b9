#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0: `time_step_limit` of Mamba-2 layers, without the compiled kernels.
#
# Expected: the range that the config gives for the time steps ("accepted range of time step values") holds wherever the
# layer runs; the logits that choose a token are those of the text so far, as they are without a limit.
# Seen: it holds where several tokens are read at once, and not where one token follows a cache: the function for a single
# step takes no limit. So training and the prompt are computed with it, each new token without it, and the state goes on
# from both. Logits are off by half of the largest one in the Mamba-2 here, by less in Falcon-H1 and GraniteMoeHybrid, whose
# layers are of the same kind; a single step with a limit is bit for bit one without. Zamba2 and Nemotron-H have a limit by
# default, 0.001 from below (for Nemotron-H against its own config, see huggingface/transformers#48989).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.24.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy
import logging
import warnings

import torch
import transformers

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
MODELS = {
    "Mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 16},
    "FalconH1": {**HEADS, **MAMBA, "head_dim": 8, "mamba_d_ssm": 64},
    "GraniteMoeHybrid": {
        **HEADS, **MAMBA, "layer_types": ["mamba", "attention", "mamba"], "shared_intermediate_size": 48, "num_local_experts": 0,
    },
}
text = torch.randint(4, 64, (1, 64), generator=torch.Generator().manual_seed(1))


def built(family, limit):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **MODELS[family], time_step_limit=limit)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def after(model, prompt):
    """The cache of a prompt."""
    return model(input_ids=prompt, use_cache=True).cache


print(f"transformers {transformers.__version__}, torch {torch.__version__}")
for family in MODELS:
    free = built(family, (0.0, float("inf")))
    for limit in ((0.0, float("inf")), (0.0, 0.05)):
        model = built(family, limit)
        with torch.no_grad():
            whole = model(input_ids=text, use_cache=False).logits
            cache, steps = after(model, text[:, :16]), []
            for token in text[:, 16:].split(1, 1):
                steps.append(model(input_ids=token, cache=cache, use_cache=True).logits)
            at_once = model(input_ids=text[:, 16:], cache=after(model, text[:, :16]), use_cache=True).logits
            cache = after(model, text[:, :16])
            one, other = (each(input_ids=text[:, 16:17], cache=copy.deepcopy(cache), use_cache=True).logits for each in (model, free))
        off = (torch.cat(steps, 1) - whole[:, 16:]).abs().max().item()
        chunk = (at_once - whole[:, 16:]).abs().max().item()
        print(f"{family}, limit {limit}, logits up to {whole.abs().max():.1f}: single steps off by {off:.1e}, the rest at once by {chunk:.1e}")
        assert chunk < 1e-3 and torch.equal(one, other), "this has changed"
        assert off > {"Mamba2": 1, "FalconH1": 2e-3, "GraniteMoeHybrid": 2e-2}[family] if limit[1] < 1 else off < 1e-3, "this has changed"
print("as described")
PYTHON
