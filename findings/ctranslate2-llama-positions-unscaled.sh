#!/usr/bin/env bash
# ctranslate2 4.8.5 with transformers 5.24.0: Llama 3.1 and later, converted.
#
# Expected: the converter knows the "llama3" scaling of rotary positions (it refuses the kinds that it does not know),
# so a converted model computes what the original does.
# Seen: it computes what the original would without any scaling, to 1e-5, and the model's own logits are off by 0.3
# within 200 tokens, with the numbers of Llama 3.1. The converter reads the factor, but the specification writes it
# for "linear" alone: in the folder there are the two limits between which frequencies are scaled, and no factor.
# "original_max_position_embeddings" is not written either.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.24.0 \
    ctranslate2==4.8.5
HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import ctranslate2
import numpy as np
import torch
import transformers
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer, models

folder = sys.argv[1]
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{i}" for i in range(4, 64))]
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")),
    bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
)
tokens = torch.randint(4, 64, (1, 200), generator=torch.Generator().manual_seed(1))
SIZES = {
    "vocab_size": 64, "hidden_size": 128, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 131072, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
SCALINGS = {
    "none": {"rope_type": "default", "rope_theta": 500000.0},
    "linear": {"rope_type": "linear", "rope_theta": 500000.0, "factor": 8.0},
    "llama3": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
models_, logits = {}, {}
for name, scaling in SCALINGS.items():
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, rope_parameters=scaling)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(f"{folder}/{name}")
    tokenizer.save_pretrained(f"{folder}/{name}")
    with torch.no_grad():
        logits[name] = model.double()(input_ids=tokens).logits[0].numpy()

print(f"ctranslate2 {ctranslate2.__version__}, transformers {transformers.__version__}")
off = {}
for name in SCALINGS:
    TransformersConverter(f"{folder}/{name}").convert(f"{folder}/{name}-converted")
    generator = ctranslate2.Generator(f"{folder}/{name}-converted", device="cpu", compute_type="float32")
    texts = [[words[i] for i in tokens[0]]]
    found = np.array(generator.forward_batch(texts, return_log_probs=False))[0][:, :64]
    off[name] = {other: float(np.abs(found - logits[other]).max()) for other in {name, "none"}}
    print(f"scaling {name}: off by {off[name][name]:.1e}; from the same model without scaling by {off[name]['none']:.1e}")
assert off["none"]["none"] < 1e-4 and off["linear"]["linear"] < 1e-4, "this has changed"
assert off["llama3"]["llama3"] > 0.1 and off["llama3"]["none"] < 1e-4, "this has changed"
print("as described")
PYTHON
