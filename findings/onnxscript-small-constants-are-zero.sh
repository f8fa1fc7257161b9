#!/usr/bin/env bash
# torch 2.13.0 with onnx 1.23.2, onnxscript 0.7.2 and onnxruntime 1.32.0: small constants in an exported graph.
#
# Expected: torch.onnx.export(dynamo=True) writes log(x + 1e-10) as it is, and of x = 0 both say -23.03.
# Seen: the optimiser, which runs unless optimize=False is given, takes 1e-10 for 0 and drops the sum: the graph is log(x),
# and says -inf. So does x / (y + 1e-12), which becomes x / y: what guards against a division by 0 is gone, without a word.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
cat > "$folder/export.py" <<'PYTHON'
import contextlib
import io
import logging
import warnings

import onnxruntime
import torch

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


class Log(torch.nn.Module):
    def forward(self, x):
        return (x + 1e-10).log()


class Share(torch.nn.Module):
    def forward(self, x):
        return x / (x.sum(-1, keepdim=True) + 1e-12)


zeros = torch.zeros(1, 2)
for module in (Log(), Share()):
    for optimize in (False, True):
        with contextlib.redirect_stdout(io.StringIO()):
            program = torch.onnx.export(module, (zeros,), dynamo=True, optimize=optimize)
        session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
        said = session.run(None, {session.get_inputs()[0].name: zeros.numpy()})[0][0, 0]
        print(type(module).__name__, f"torch {module(zeros)[0, 0]:.2f}", f"optimize={optimize}", f"{said:.2f}")
PYTHON
found="$("$folder/venv/bin/python" "$folder/export.py" 2>/dev/null)"
echo "$found"
expected="Log torch -23.03 optimize=False -23.03
Log torch -23.03 optimize=True -inf
Share torch 0.00 optimize=False 0.00
Share torch 0.00 optimize=True nan"
[ "$found" = "$expected" ] || { echo "this has changed"; exit 1; }
echo "as described"
