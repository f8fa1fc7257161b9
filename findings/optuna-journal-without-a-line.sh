#!/usr/bin/env bash
# optuna 5.0.0: a study in a journal file from which one whole line was lost, as a copy broken off and joined leaves it.
#
# Expected: an error that names the damage, for every line is one operation that the later ones build on.
# Seen: the study opens without a word. Without the line of a parameter its trial is COMPLETE and has no parameters;
# without the line of a result it is RUNNING for ever; without the line that begins a trial the later operations count
# for its neighbours, so that a trial vanishes and the next one's values stand under its number.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
folder = Path(sys.argv[1])


def storage(path):
    return JournalStorage(JournalFileBackend(str(path)))


study = optuna.create_study(storage=storage(folder / "whole.log"), study_name="study")
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
lines = (folder / "whole.log").read_text().splitlines(keepends=True)
assert len(lines) == 10  # the study, then three lines a trial: begun, parameter, result
seen = {}
for lost, what in ((2, "parameter"), (3, "result"), (4, "beginning of the second trial")):
    path = folder / f"{lost}.log"
    path.write_text("".join(lines[:lost] + lines[lost + 1 :]))
    trials = optuna.load_study(storage=storage(path), study_name="study").trials
    seen[what] = [(trial.number, trial.state.name, len(trial.params)) for trial in trials]
    print(f"optuna {optuna.__version__}, without the line of the {what}: number, state, parameters: {seen[what]}")
assert seen["parameter"] == [(0, "COMPLETE", 0), (1, "COMPLETE", 1), (2, "COMPLETE", 1)], "this has changed"
assert seen["result"] == [(0, "RUNNING", 1), (1, "COMPLETE", 1), (2, "COMPLETE", 1)], "this has changed"
assert len(seen["beginning of the second trial"]) == 2, "this has changed"
print("as described")
PYTHON
