#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0: generate() of RWKV for a batch of several texts, all of one length.
#
# Expected: each text goes on as it does by itself, and as the whole text, read anew for each token, says.
# Seen: only the first new token is right. From the second one on each step gets a single token and a state; the token's
# vectors have the shape (batch, 1, width), those of the token before, from the state, (batch, width), and torch broadcasts
# the two to (batch, batch, width): a batch of 3 becomes 3 texts of 3 tokens, mixed from the states of all three. The
# model returns logits for 3 tokens where it was given one, generate() takes the last, and what a text says hangs on which
# others stand beside it. A batch of one is right.
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
torch.manual_seed(0)
model = transformers.RwkvForCausalLM(transformers.RwkvConfig(
    vocab_size=64, hidden_size=32, attention_hidden_size=32, intermediate_size=48, num_hidden_layers=2, context_length=64,
)).eval()
for parameter in model.parameters():
    if parameter.ndim == 2:
        torch.nn.init.normal_(parameter, std=0.3)
model.generation_config.eos_token_id = None
texts = torch.randint(4, 64, (3, 12), generator=torch.Generator().manual_seed(1))


def steps(ids):
    """The new tokens, and the logits that chose them."""
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, output_logits=True,
        return_dict_in_generate=True,
    )
    return found.sequences, torch.stack(found.logits, 1)


def off(ids):
    """How far each step's logits are from those of the text so far, read as a whole."""
    sequences, logits = steps(ids)
    with torch.no_grad():
        whole = model(input_ids=sequences[:, :-1], use_cache=False).logits[:, -8:]
    return (logits - whole).abs().amax(-1)


print(f"transformers {transformers.__version__}, torch {torch.__version__}")
with torch.no_grad():
    state = model(input_ids=texts[:, :11], use_cache=True).state
    shape = tuple(model(input_ids=texts[:, 11:], state=state, use_cache=True).logits.shape)
print(f"logits of one token for each of 3 texts: {shape}")
assert shape == (3, 3, 64), "this has changed"
alone = max(off(text[None]).max().item() for text in texts)
together = off(texts)
first, later = together[:, 0].max().item(), together[:, 1:].amax(0)
print(f"one by one: off by {alone:.1e}; together: the first token by {first:.1e}, later ones by {later.min():.1f} to {later.max():.1f}")
assert alone < 1e-4 and first < 1e-4 and later.min() > 0.05, "this has changed"
other = steps(torch.cat([texts[:2], texts[2:].flip(1)]))[1]
moved = (other - steps(texts)[1])[0, 1].abs().max().item()
print(f"another third text moves the second token's logits of the first by {moved:.1e}")
assert moved > 0.01, "this has changed"
print("as described")
PYTHON
