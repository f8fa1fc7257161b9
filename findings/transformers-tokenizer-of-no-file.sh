#!/usr/bin/env bash
# transformers 5.23.0: AutoTokenizer.from_pretrained of a folder that holds config.json and no file of a tokeniser.
#
# Expected: an error that names the missing file, as for Llama.
# Seen: BERT, ALBERT and GPT-2 get a tokeniser with special tokens alone, without a word. Every text becomes [UNK] after
# [UNK], or nothing at all (GPT-2), so a copy that forgot tokenizer.json answers as if all texts were the same.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import logging
import sys
import warnings
from pathlib import Path

import transformers

told = []


class Keep(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage())


transformers.logging.get_logger("transformers").addHandler(Keep(logging.WARNING))
for family in ("Bert", "Albert", "GPT2"):
    folder = Path(sys.argv[1]) / family
    getattr(transformers, f"{family}Config")().save_pretrained(folder)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    told.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    first, second = tokenizer("hello world")["input_ids"], tokenizer("other words")["input_ids"]
    said = [text for text in (*told, *(str(w.message) for w in warned)) if "vocab" in text.lower()]
    print(f"transformers {transformers.__version__}, {family}: {len(tokenizer)} tokens, {first} for two texts, {len(said)} warnings")
    assert first == second and not said, "this has changed"
print("as described")
PYTHON
