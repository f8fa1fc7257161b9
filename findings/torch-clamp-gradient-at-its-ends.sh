#!/usr/bin/env bash
# torch 2.14.1: the gradient of clamp where the input is exactly a bound.
#
# Expected: 1, as up to torch 2.13.0: a parameter that starts at its limit, such as a share that begins at 0 or 1, can
# leave it.
# Seen: 0. Such a parameter never learns again, with no error and no warning: after upgrading torch, clamp(0, 1) of a
# parameter that is 0, 0.5 and 1 has the gradients 0, 1, 0 where it had 1, 1, 1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
for version in 2.13.0 2.14.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "torch==$version" numpy==2.4.6
    "$folder/$version/bin/python" - <<'PYTHON'
import torch

x = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
(gradient,) = torch.autograd.grad(x.clamp(0, 1).sum(), x)
print(f"torch {torch.__version__}: clamp(0, 1) of 0, 0.5 and 1 has the gradients {gradient.tolist()}")
old = torch.__version__.startswith("2.13.")
assert gradient.tolist() == ([1.0, 1.0, 1.0] if old else [0.0, 1.0, 0.0]), "this has changed"
PYTHON
    rm -rf "${folder:?}/$version"
done
echo "as described"
