#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0: ProphetNet, read as a whole (training, scoring) and one token at a time.
#
# Expected: the logits of the next token hang on the tokens so far, and are the same read as a whole, as a prefix, or step
# by step with a cache, as generate() reads.
# Seen: read as a whole, the first position's logits change with the tokens that come after it. The stream that predicts
# looks up relative positions by vectors laid out as (batch, length, ngram, heads) and uses them as (batch, ngram, heads,
# length), so that each position gets scores made of another one's vector, of the future too. Only where the length is 1 is
# the order the same: generate() with its cache differs from forward() by nearly half of the largest logit, and from itself
# with use_cache=False, and a training learns by what is not there when the model writes. Once the tables of relative
# positions are 0, all agree. An earlier fault of this layout, between texts of a batch, is mended
# (huggingface/transformers#17455).
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
model = transformers.ProphetNetForConditionalGeneration(transformers.ProphetNetConfig(
    vocab_size=64, hidden_size=32, encoder_ffn_dim=48, decoder_ffn_dim=48, num_encoder_layers=2, num_decoder_layers=2,
    num_encoder_attention_heads=4, num_decoder_attention_heads=4, max_position_embeddings=64, pad_token_id=0,
    bos_token_id=1, eos_token_id=None, decoder_start_token_id=1,
)).eval()
for parameter in model.parameters():
    if parameter.ndim == 2:
        torch.nn.init.normal_(parameter, std=0.2)
generator = torch.Generator().manual_seed(1)
source = torch.randint(4, 64, (1, 10), generator=generator)
target = torch.randint(4, 64, (1, 12), generator=generator)
other = torch.cat([target[:, :3], torch.randint(4, 64, (1, 9), generator=generator)], 1)


def whole(ids):
    return model(input_ids=source, decoder_input_ids=ids, use_cache=False).logits[0]


def written(**settings):
    found = model.generate(
        source, max_new_tokens=8, do_sample=False, output_logits=True, return_dict_in_generate=True, **settings
    )
    return found.sequences, torch.cat(found.logits)


@torch.no_grad()
def measured():
    cache, steps = None, []
    for token in target.split(1, 1):
        output = model(input_ids=source, decoder_input_ids=token, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        steps.append(output.logits[0])
    full = whole(target)
    sequence, logits = written()
    pairs = {
        "three tokens before another future": (full[:3], whole(other)[:3]),
        "the first token by itself": (full[:1], whole(target[:, :1])),
        "step by step": (full, torch.cat(steps)),
        "generate()": (whole(sequence[:, :-1]), logits),
    }
    print(f"  logits up to {full.abs().max():.1f}; read as a whole against", {name: f"{(a - b).abs().max():.1e}" for name, (a, b) in pairs.items()})
    first = (whole(target[:, :1]) - steps[0]).abs().max().item()
    return [(a - b).abs().max().item() for a, b in pairs.values()], first, full.abs().max().item()


print(f"transformers {transformers.__version__}, torch {torch.__version__}")
off, first, largest = measured()
assert min(off) > 0.1 and max(off) > largest / 4 and first < 1e-4, "this has changed"
same = torch.equal(written()[0], written(use_cache=False)[0])
print(f"generate() writes the same with and without a cache: {same}")
assert not same, "this has changed"
print("tables of relative positions set to 0:")
for name, parameter in model.named_parameters():
    if "relative_pos_embeddings" in name:
        torch.nn.init.zeros_(parameter)
off, first, _ = measured()
assert max(off) < 1e-4 and first < 1e-4, "this has changed"
print("as described")
PYTHON
