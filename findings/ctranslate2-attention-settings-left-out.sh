#!/usr/bin/env bash
# ctranslate2 4.8.5 with transformers 5.24.0: settings of attention in the config of a model that is converted.
#
# Expected: a setting that the engine cannot follow is refused, as kinds of rotary scaling are that it does not know.
# Seen: these are left out without a word, and the converted model is another one: sliding windows of Qwen2, Qwen3
# and Gemma 2; of Gemma 2 also `query_pre_attn_scalar` (where it is not the head size, as in the one of 27 billion) and
# both soft caps; of GPT-2 `scale_attn_weights=False` and `scale_attn_by_inverse_layer_idx`; the base of rotary
# positions of Gemma and Falcon, which transformers 5 keeps in `rope_parameters`. Without these settings all are right to 1e-5.
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
tokens = torch.randint(4, 64, (1, 24), generator=torch.Generator().manual_seed(1))
SMALL = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES = SMALL | {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}
WINDOW = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 0}
GEMMA = SIZES | {"head_dim": 8}
GEMMA2 = GEMMA | {
    "query_pre_attn_scalar": 8, "sliding_window": 256, "attn_logit_softcapping": None, "final_logit_softcapping": None,
}
BASE = {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
FALCON = SMALL | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GPT2 = SMALL | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
CASES = {
    "Qwen2": [SIZES, WINDOW],
    "Qwen3": [SIZES | {"head_dim": 8}, WINDOW],
    "Gemma2": [
        GEMMA2, {"sliding_window": 5}, {"query_pre_attn_scalar": 32}, {"attn_logit_softcapping": 2.0},
        {"final_logit_softcapping": 30.0},
    ],
    "Gemma": [GEMMA, BASE],
    "Falcon": [FALCON, BASE],
    "GPT2": [GPT2, {"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True}],
}


def off(family, settings):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings, attn_implementation="eager")
    kind = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    model = getattr(transformers, kind)(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(f"{folder}/model")
    tokenizer.save_pretrained(f"{folder}/model")
    TransformersConverter(f"{folder}/model").convert(f"{folder}/converted", force=True)
    generator = ctranslate2.Generator(f"{folder}/converted", device="cpu", compute_type="float32")
    texts = [[words[i] for i in tokens[0]]]
    found = np.array(generator.forward_batch(texts, return_log_probs=False))[0][:, :64]
    with torch.no_grad():
        want = model.double()(input_ids=tokens).logits[0].numpy()
    return float(np.abs(found - want).max())


print(f"ctranslate2 {ctranslate2.__version__}, transformers {transformers.__version__}")
for family, (plain, *others) in CASES.items():
    error = off(family, plain)
    print(f"{family}: logits off by {error:.1e}")
    assert error < 1e-4, "this has changed"
    for other in others:
        error = off(family, plain | other)
        print(f"    with {other}: by {error:.2f}")
        assert error > 0.1, "this has changed"
print("as described")
PYTHON
