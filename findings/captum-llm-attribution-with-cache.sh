#!/usr/bin/env bash
# captum 0.9.0 with transformers 5.24.0 (5.23.0 alike): LLMAttribution of an answer of several tokens.
#
# Expected: `use_cached_outputs`, True by default, saves time and changes nothing; of feature ablation, each value is how
# far the logarithm of the answer's probability falls when a token of the prompt is replaced.
# Seen: only the first token of the answer is right. Values of the whole answer are off by 5 here, and change sign.
# transformers 5 cuts what `prepare_inputs_for_generation` returns to the new tokens only where it is told their number,
# as its own `generate` does. captum does not: at each token the whole prompt is read again, behind the cache that holds
# it. With `use_cached_outputs=False` or `forward_in_tokens=False` all values are right.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.24.0 \
    captum==0.9.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import captum
import torch
import transformers
from captum.attr import FeatureAblation, LLMAttribution, TextTokenInput
from tokenizers import Tokenizer, models, pre_tokenizers

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{i}" for i in range(4, 64))]
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
)
torch.manual_seed(0)
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)).eval()
for parameter in model.parameters():
    if parameter.ndim > 1:
        torch.nn.init.normal_(parameter, std=0.3)
prompt, answer = "w5 w9 w23 w40 w11", "w7 w30 w8 w12"


def logarithms(ids):
    """Of the probability of each token of the answer, in one pass over everything."""
    target = torch.tensor(tokenizer(answer)["input_ids"])
    with torch.no_grad():
        logits = model(input_ids=torch.cat([ids, target])[None], use_cache=False).logits[0]
    return logits[len(ids) - 1 : -1].double().log_softmax(-1).gather(1, target[:, None])[:, 0]


ids = torch.tensor(tokenizer(prompt)["input_ids"])
without = [torch.where(torch.arange(len(ids)) == place, 0, ids) for place in range(len(ids))]
want = torch.stack([logarithms(ids) - logarithms(other) for other in without], dim=1)
print(f"captum {captum.__version__}, transformers {transformers.__version__}")
print(f"by definition: {[round(value, 2) for value in want.sum(0).tolist()]}")
CASES = {
    "as it is": ({}, True),
    "use_cached_outputs=False": ({"use_cached_outputs": False}, False),
    "forward_in_tokens=False": ({"forward_in_tokens": False}, False),
}
for name, (settings, wrong) in CASES.items():
    attribution = LLMAttribution(FeatureAblation(model), tokenizer)
    found = attribution.attribute(TextTokenInput(prompt, tokenizer), target=answer, **settings)
    whole, tokens = (found.seq_attr - want.sum(0)).abs().max(), (found.token_attr - want).abs().amax(1)
    print(f"{name}: {[round(value, 2) for value in found.seq_attr.tolist()]}, off by {whole:.1e}, token by token {[f'{value:.0e}' for value in tokens.tolist()]}")
    assert tokens[0] < 1e-4 and (whole > 1) == wrong and (whole < 1e-3) != wrong, "this has changed"
print("as described")
PYTHON
