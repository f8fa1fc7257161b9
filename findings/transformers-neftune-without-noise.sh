#!/usr/bin/env bash
# transformers 5.23.0: NEFTune (neftune_noise_alpha of TrainingArguments) with encoder-decoder models.
#
# Expected: noise on the embeddings in training, as in models with a decoder alone, or an error.
# Seen: BART, mBART, Pegasus, Blenderbot, M2M100 and T5 train to exactly the same numbers with any noise as with none. The
# noise comes from a forward hook on `get_input_embeddings()`. That is `model.shared`, which holds the weights and is never
# called: encoder and decoder have modules of their own around the same weights. So no hook on it hears anything, of
# whatever library. `set_input_embeddings`, which `resize_token_embeddings` uses as well, puts one module in all places,
# and from then on the noise is there. Marian has it in its encoder.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.23.0 accelerate==1.15.0
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
import transformers as hf

hf.logging.set_verbosity_error()
SIZES = {"vocab_size": 40, "pad_token_id": 1, "decoder_start_token_id": 2, "use_cache": False}
LAYERS = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
WIDTHS = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "dropout": 0.0}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
GPT2 = {"n_embd": 16, "n_layer": 1, "n_head": 2, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}


def learned(make, *, alpha, again=False):
    """All parameters after a few steps, in one vector."""
    hf.set_seed(0)
    model = make()
    if again:
        model.set_input_embeddings(model.get_input_embeddings())
    arguments = hf.TrainingArguments(
        output_dir="out", max_steps=3, learning_rate=0.1, neftune_noise_alpha=alpha, use_cpu=True,
        report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True, seed=0,
    )
    tokens = torch.arange(5, 13)
    hf.Trainer(model, arguments, train_dataset=[{"input_ids": tokens, "labels": tokens}] * 8).train()
    return torch.cat([each.detach().flatten() for each in model.parameters()])


def changed(make, **settings):
    return not torch.equal(learned(make, alpha=None, **settings), learned(make, alpha=1e3, **settings))


def pair(config, model, settings):
    return lambda: model(config(**SIZES, **settings))


BART = pair(hf.BartConfig, hf.BartForConditionalGeneration, LAYERS | WIDTHS)
noisy = {
    "GPT-2": changed(pair(hf.GPT2Config, hf.GPT2LMHeadModel, GPT2)),
    "Marian": changed(pair(hf.MarianConfig, hf.MarianMTModel, LAYERS | WIDTHS)),
    "BART, set again": changed(BART, again=True),
}
silent = {"BART": changed(BART), "T5": changed(pair(hf.T5Config, hf.T5ForConditionalGeneration, T5))}
for name in ("MBart", "Pegasus", "Blenderbot", "M2M100"):
    config, model = getattr(hf, f"{name}Config"), getattr(hf, f"{name}ForConditionalGeneration")
    silent[name] = changed(pair(config, model, LAYERS | WIDTHS))
for name, heard in (noisy | silent).items():
    print(f"transformers {hf.__version__}, {name}: noise {'changes' if heard else 'does not change'} what is learned")
assert all(noisy.values()) and not any(silent.values()), "this has changed"
PYTHON
echo "as described"
