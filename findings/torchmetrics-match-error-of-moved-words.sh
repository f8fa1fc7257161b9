#!/usr/bin/env bash
# torchmetrics 1.9.0 with torch 2.13.0: match error rate, word information lost and word information preserved.
#
# Expected: what the documentation says and jiwer 4.0.0 computes: errors over hits, substitutions, deletions and insertions
# together, and hits over the words of either text, counted in the best alignment.
# Seen: that only where a text has no deletion or no insertion. The length of the alignment is taken to be that of the
# longer text, which is too short where a word is lost in one place and another one added elsewhere, and hits go missing
# by as much. A transcript that loses the first three of eight words and has three more at its end is said to have
# preserved 6% of the information, where 39% are right, and to be worse by these three than one with five of eight words
# wrong, where it is better. The word error rate is right. Known (Lightning-AI/torchmetrics#3511).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torchmetrics==1.9.0 jiwer==4.0.0
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import jiwer
import torch
import torchmetrics
from torchmetrics.functional.text import (
    match_error_rate,
    word_error_rate,
    word_information_lost,
    word_information_preserved,
)

REFERENCE = "one two three four five six seven eight"
TEXTS = {
    "as it is": "one two three four five six seven eight",
    "two words lost": "one two three four five six",
    "five words wrong": "one two three red blue green black white",
    "three lost, three added": "four five six seven eight red blue green",
}
FUNCTIONS = {"WER": word_error_rate, "MER": match_error_rate, "WIL": word_information_lost, "WIP": word_information_preserved}


def counts(found, right):
    """Hits, substitutions, deletions and insertions of the alignment with the fewest errors, most hits first."""
    best = {(0, 0): (0, 0, (0, 0, 0, 0))}
    for i in range(len(right) + 1):
        for j in range(len(found) + 1):
            ways = []
            for back, step, cost in (((1, 1), None, None), ((1, 0), (0, 0, 1, 0), 1), ((0, 1), (0, 0, 0, 1), 1)):
                before = best.get((i - back[0], j - back[1]))
                if before is None or (i, j) == (0, 0):
                    continue
                if step is None:
                    same = right[i - 1] == found[j - 1]
                    step, cost = ((1, 0, 0, 0), 0) if same else ((0, 1, 0, 0), 1)
                now = tuple(a + b for a, b in zip(before[2], step, strict=True))
                ways.append((before[0] + cost, -now[0], now))
            if ways:
                best[i, j] = min(ways)
    return best[len(right), len(found)][2]


print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
said = {}
for name, text in TEXTS.items():
    hits, wrong, lost, added = counts(text.split(), REFERENCE.split())
    errors = wrong + lost + added
    preserved = Fraction(hits * hits, (hits + wrong + lost) * (hits + wrong + added))
    want = {"WER": Fraction(errors, hits + wrong + lost), "MER": Fraction(errors, hits + errors), "WIL": 1 - preserved, "WIP": preserved}
    other = jiwer.process_words(REFERENCE, text)
    for key, value in want.items():
        assert abs(getattr(other, key.lower()) - value) < 1e-9, "jiwer has changed"
    said[name] = {key: function([text], [REFERENCE]).item() for key, function in FUNCTIONS.items()}
    told = ", ".join(f"{key} {said[name][key]:.3f} (right: {float(value):.3f})" for key, value in want.items())
    print(f"{name}: {told}")
    expected = {"MER", "WIL", "WIP"} if lost and added else set()
    assert {key for key, value in want.items() if abs(said[name][key] - value) > 1e-5} == expected, "this has changed"
    said[name]["right"] = float(want["MER"])
worse, better = said["five words wrong"], said["three lost, three added"]
assert better["right"] < worse["right"] and better["MER"] > worse["MER"] and better["WIP"] < worse["WIP"], "this has changed"
print("as described")
PYTHON
