#!/usr/bin/env bash
# torch 2.13.0, CPU: torch.compile of an operator of one's own, where the environment says CI.
#
# An operator made with torch.library has a decomposition in torch's table as well, as one registers it for
# torch.onnx.export(dynamo=True), which looks there.
# Expected: a program compiles on a service for tests, where CI is set, as it does on the desk of whoever wrote it.
# Seen: with CI set it raises an error, "make_fallback(...): a decomposition exists, we should switch to it"; without
# it compiles, calls the operator and is right. Where the cache of graphs is warm from a run without CI, it
# compiles with CI too: a machine that keeps its cache hides what a fresh one shows. An operator without a
# decomposition compiles anywhere.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 setuptools==84.2.1
cat >"$folder/program.py" <<'PYTHON'
import sys

import torch
from torch._decomp import register_decomposition


def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2


library = torch.library.Library("mine", "DEF")
library.define("double(Tensor x) -> Tensor")
library.impl("double", double, "CPU")
torch.library.register_fake("mine::double", torch.empty_like, lib=library)
if "decomposed" in sys.argv:
    register_decomposition(torch.ops.mine.double.default)(double)


@torch.compile
def compiled(x):
    return torch.ops.mine.double(x.sin()).cos()


x = torch.linspace(0, 1, 100)
try:
    torch.testing.assert_close(compiled(x), (x.sin() * 2).cos())
    print("right")
except Exception as error:
    told = str(error)
    print("refused" if "a decomposition exists, we should switch to it" in told else told)
PYTHON
run() { # NAME OF THE CACHE, VALUE OF CI, WORDS
  env -u CI ${2:+CI="$2"} TORCHINDUCTOR_CACHE_DIR="$folder/$1" "$folder/venv/bin/python" "$folder/program.py" "${@:3}" 2>/dev/null
}
expect() { # WHAT, IS, SHOULD BE
  echo "torch 2.13.0, $1: $2"
  [ "$2" = "$3" ] || { echo "this has changed"; exit 1; }
}
expect "CI set, cache empty" "$(run first true decomposed)" refused
expect "CI not set, cache empty" "$(run second "" decomposed)" right
expect "CI set, cache of the run before" "$(run second true decomposed)" right
expect "CI set, no decomposition, cache empty" "$(run third true)" right
echo "as described"
