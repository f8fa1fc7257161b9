#!/usr/bin/env bash
# transformers 5.24.0, attention "sdpa" and "eager": texts packed into one row, told apart by position_ids.
#
# Expected: what DataCollatorWithFlattening gives (no mask; positions that begin anew at each text) keeps the texts apart,
# for which the library's masks of these two kinds look at the positions; otherwise positions only say where tokens are.
# Seen: it hangs on `use_cache`. A model that is called as it is, in train() too, makes a cache (True in its config, and
# gradient checkpointing does not change that), and beside a cache nobody looks at the positions: each text sees those
# before it, without a word. Only with use_cache=False, as `Trainer` sets it, are texts apart. And then any step of the
# positions other than 1 parts one text, too: after a jump, as training for longer contexts has it (PoSE), nothing from
# before it is seen, and with steps of 2 no token sees another one. A mask of ones undoes both; that packed texts see each
# other with it is known (huggingface/transformers#46634).
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
from transformers import DataCollatorWithFlattening

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
generator = torch.Generator().manual_seed(1)
texts = [torch.randint(4, 64, (length,), generator=generator) for length in (7, 6)]
packed = DataCollatorWithFlattening()([{"input_ids": text.tolist()} for text in texts])
packed = {name: torch.as_tensor(packed[name]) for name in ("input_ids", "position_ids")}
assert packed["position_ids"].tolist() == [[*range(7), *range(6)]]
row = packed["input_ids"]
jump = torch.tensor([[*range(7), *range(107, 113)]])


def built(kind):
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, attn_implementation=kind)).train()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def one_by_one(model, positions, lengths):
    """Each piece of the row in a call of its own, with the positions it has in the row."""
    with torch.no_grad():
        pieces = zip(row.split(lengths, 1), positions.split(lengths, 1), strict=True)
        return torch.cat([model(input_ids=ids, position_ids=at, use_cache=False, attention_mask=torch.ones_like(ids)).logits for ids, at in pieces], 1)


def off(model, positions, want, **settings):
    with torch.no_grad():
        return (model(input_ids=row, position_ids=positions, **settings).logits - want).abs().max().item()


ONES = {"attention_mask": torch.ones_like(row)}
for kind in ("sdpa", "eager"):
    model = built(kind)
    print(f"transformers {transformers.__version__}, {kind}, use_cache in the config: {model.config.use_cache}")
    apart = one_by_one(model, packed["position_ids"], [7, 6])
    checkpointing = built(kind)
    checkpointing.gradient_checkpointing_enable()
    found = {
        "as it is": off(model, packed["position_ids"], apart),
        "a mask of ones, use_cache=False": off(model, packed["position_ids"], apart, use_cache=False, **ONES),
        "gradient checkpointing": off(checkpointing, packed["position_ids"], apart),
        "use_cache=False": off(model, packed["position_ids"], apart, use_cache=False),
    }
    print("  two texts, from each by itself:", {name: f"{error:.1e}" for name, error in found.items()})
    assert [error < 1e-4 for error in found.values()] == [False, False, False, True], "this has changed"
    for name, positions, lengths in (("a jump", jump, [7, 6]), ("steps of 2", 2 * torch.arange(13)[None], [1] * 13)):
        whole = one_by_one(model, positions, [13])
        found = {
            "as it is": off(model, positions, whole),
            "a mask of ones, use_cache=False": off(model, positions, whole, use_cache=False, **ONES),
            "use_cache=False": off(model, positions, whole, use_cache=False),
        }
        cut = off(model, positions, one_by_one(model, positions, lengths), use_cache=False)
        print(f"  one text, {name}, from the whole text:", {name: f"{error:.1e}" for name, error in found.items()}, f"from pieces of {lengths[0]}: {cut:.1e}")
        assert [error < 1e-4 for error in found.values()] == [True, True, False] and cut < 1e-4, "this has changed"
print("as described")
PYTHON
