#!/usr/bin/env bash
# tokenizers 0.23.3: offsets of a text that its NFC normaliser composes.
#
# Expected: the offsets of a tokeniser that cuts a text into single characters cover the text, as they do for composed
# text; what lies between two offsets is what was typed for the piece.
# Seen: of a letter and its mark (decomposed text, as file names on macOS are) the offset holds the letter alone, and of
# the three letters of a Korean syllable the first one. The marks belong to no piece: "café" comes back as "cafe".
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
import unicodedata

import tokenizers
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.NFC()
tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?m:.)"), "isolated")
for composed in ("café", "한"):
    typed = unicodedata.normalize("NFD", composed)
    for text, whole in ((composed, True), (typed, False)):
        offsets = tokenizer.encode(text).offsets
        shown = "".join(text[start:end] for start, end in offsets)
        print(f"tokenizers {tokenizers.__version__}: {len(text)} characters of {text!r}, {offsets} hold {shown!r}")
        assert (shown == text) is whole, "this has changed"
print("as described")
PYTHON
