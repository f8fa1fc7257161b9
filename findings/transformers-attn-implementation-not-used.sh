#!/usr/bin/env bash
# transformers 5.23.0 (5.24.0 alike): attn_implementation given when a model is built.
#
# Expected: a model built with attn_implementation="own", a registered attention function, calls that function, or says
# that it cannot. `set_attn_implementation` after building says so.
# Seen: DeBERTa-v2, XLNet and MPNet keep "own" in their config, never call the function, and warn of nothing. BERT does
# call it. So a timing or a picture made through such a function may be that of another one.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import torch
import transformers
from transformers import AttentionInterface, AutoModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

calls = []
records = []


def own(module, *args, **kwargs):
    calls.append(type(module).__name__)
    return sdpa_attention_forward(module, *args, **kwargs)


class Keep(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage())


AttentionInterface.register("own", own)
transformers.logging.get_logger("transformers").addHandler(Keep(logging.WARNING))
small = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CONFIGS = {
    "Bert": (transformers.BertConfig(**small), True),
    "DebertaV2": (transformers.DebertaV2Config(**small), False),
    "MPNet": (transformers.MPNetConfig(**small), False),
    "XLNet": (transformers.XLNetConfig(vocab_size=61, d_model=32, n_layer=1, n_head=2, d_inner=32), False),
}
for family, (config, used) in CONFIGS.items():
    calls.clear()
    records.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = AutoModel.from_config(config, attn_implementation="own").eval()
        with torch.no_grad():
            model(torch.arange(3, 11)[None])
    told = [text for text in (*records, *(str(w.message) for w in warned)) if "own" in text]
    print(f"transformers {transformers.__version__}, {family}: config says {model.config._attn_implementation!r}, called {len(calls)} times, {len(told)} warnings of it")
    assert model.config._attn_implementation == "own" and not told
    assert bool(calls) is used, "this has changed"
print("as described")
PYTHON
