#!/usr/bin/env bash
# ctranslate2 4.8.5 with transformers 5.24.0 (5.23.0 alike): T5 of version 1.1, Flan-T5 and mT5, converted.
#
# Expected: the logarithms of probabilities that the original gives, as T5 of version 1.0 gets them: its decoder is
# scaled by 1 / sqrt(d_model), that of the later ones, whose output layer is one of its own, is not.
# Seen: the later ones are scaled, too. Their logits are a sixth here, and a 22nd at d_model 512: nearly all words are
# as likely as each other. What is most likely stays so, and greedy decoding says the same; beams, sampling and scores
# are wrong. The converter asks `tie_word_embeddings`, of which transformers 5 makes True whatever the checkpoint says,
# and keeps what it said in `scale_decoder_outputs`.
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
generator = torch.Generator().manual_seed(1)
source, target = (torch.randint(4, 64, (1, length), generator=generator) for length in (24, 15))
named = [[[words[i] for i in text[0]]] for text in (source, target)]
start = torch.cat([torch.zeros(1, 1, dtype=torch.long), target], 1)
SIZES = {
    "vocab_size": 64, "d_model": 36, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "pad_token_id": 0,
    "eos_token_id": 2, "decoder_start_token_id": 0,
}
CASES = {
    "T5 1.0": ("T5", {}, 1.0),
    "T5 1.1": ("T5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, 1 / 6),
    "mT5": ("MT5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, 1 / 6),
}
print(f"ctranslate2 {ctranslate2.__version__}, transformers {transformers.__version__}")
for name, (family, settings, scale) in CASES.items():
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **settings)
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(f"{folder}/{name}")
    tokenizer.save_pretrained(f"{folder}/{name}")
    TransformersConverter(f"{folder}/{name}").convert(f"{folder}/{name}-converted")
    translator = ctranslate2.Translator(f"{folder}/{name}-converted", device="cpu", compute_type="float32")
    found = np.array(translator.score_batch(*named)[0].log_probs[:15])
    with torch.no_grad():
        logits = model.double()(input_ids=source, decoder_input_ids=start).logits[0, :15]
    def of(factor):
        return (logits * factor).log_softmax(-1).gather(1, target.T)[:, 0].numpy()
    off, explained = (float(np.abs(found - of(factor)).max()) for factor in (1.0, scale))
    print(f"{name}: logarithms off by {off:.1e}; by {explained:.1e} from those of logits times {scale:.3f}")
    assert explained < 1e-4 and (off > 1) is (scale != 1), "this has changed"
print("as described")
PYTHON
