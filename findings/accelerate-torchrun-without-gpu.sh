#!/usr/bin/env bash
# accelerate 1.15.0 with torch 2.13.0: two processes of torchrun on a machine without a GPU.
#
# Expected: torchrun has set RANK, WORLD_SIZE and the rest; Accelerator() finds two processes, as it does on GPUs.
# Seen: each process believes that it is alone (num_processes 1, process_index 0, both main processes): two trainings
# run side by side and write to one place, without a word. With ACCELERATE_USE_CPU=true Accelerator() finds both;
# PartialState(), asked first, still finds one, and the Accelerator() made after it then believes that, too.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 accelerate==1.15.0
cat > "$folder/count.py" <<'PYTHON'
import os
import sys
from pathlib import Path

from accelerate import Accelerator, PartialState

folder, first = Path(sys.argv[1]), sys.argv[2]
if first == "state":
    PartialState()
accelerator = Accelerator()
found = f"{accelerator.num_processes} processes, this is number {accelerator.process_index}"
(folder / f"{os.environ['RANK']}.txt").write_text(found)
PYTHON
check() { # what is made first, the environment, what both processes should say
    OMP_NUM_THREADS=1 env $2 "$folder/venv/bin/torchrun" --nproc-per-node=2 --master-port=29541 "$folder/count.py" "$folder" "$1" 2>"$folder/log" \
        || { cat "$folder/log"; exit 1; }
    found="$(cat "$folder/0.txt"); $(cat "$folder/1.txt")"
    echo "accelerate 1.15.0, $1 first, ${2:-nothing set}: $found"
    [ "$found" = "$3" ] || { echo "this has changed"; exit 1; }
}
alone="1 processes, this is number 0; 1 processes, this is number 0"
both="2 processes, this is number 0; 2 processes, this is number 1"
check accelerator "" "$alone"
check accelerator "ACCELERATE_USE_CPU=true" "$both"
check state "ACCELERATE_USE_CPU=true" "$alone"
echo "as described"
