#!/usr/bin/env bash
# torch 2.13.0: a view of a parameter, made under torch.no_grad or torch.inference_mode, e.g. the rows of one head.
#
# Expected: requires_grad is False, as the documentation of no_grad says of "the result of every computation ... even when
# the inputs have requires_grad=True"; so a loss of it alone has nothing to go back to, and backward() says so.
# Seen: it is True of every view (weight[:4], view, T, expand, chunk, unbind, reshape where that copies nothing), is_leaf too,
# while a copy (clone, weight + 0) says False. backward() then runs without a word, and neither the view nor the parameter has
# a gradient: a model that keeps such slices from an evaluation does not learn them. torch's own FlopCounterMode believes the
# flag as well, and fails on a module that is called with such a view. The same in torch 2.14.1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" numpy==2.4.6
"$folder/bin/python" - <<'PYTHON'
import torch

weight = torch.nn.Parameter(torch.ones(8, 8))
views = {
    "a slice": lambda: weight[:4],
    "view": lambda: weight.view(2, 4, 8),
    "T": lambda: weight.T,
    "expand": lambda: weight[:1].expand(3, -1),
    "chunk": lambda: weight.chunk(2)[0],
    "unbind": lambda: weight.unbind()[0],
    "reshape": lambda: weight.reshape(4, 16),
}
copies = {"clone": weight.clone, "+ 0": lambda: weight + 0, "T, copied": lambda: weight.T.contiguous()}


def flags(calls, mode):
    with mode():
        return {name: call().requires_grad for name, call in calls.items()}


for mode in (torch.no_grad, torch.inference_mode):
    print(f"torch {torch.__version__}, {mode.__name__}: views {flags(views, mode)}, copies {flags(copies, mode)}")
    assert all(flags(views, mode).values()), "this has changed"
    assert not any(flags(copies, mode).values())

with torch.no_grad():
    head, copy = weight[:4], weight[:4].clone()
(2 * head).sum().backward()
print(f"after backward: {head.requires_grad=}, {head.is_leaf=}, {head.grad_fn=}, {head.grad=}, {weight.grad=}")
assert head.requires_grad and head.is_leaf and head.grad_fn is None
assert head.grad is None and weight.grad is None, "this has changed"
try:
    (2 * copy).sum().backward()
except RuntimeError as error:
    print(f"of the copy: {error}")
else:
    raise AssertionError("backward of a copy should say that there is nothing to go back to")
PYTHON
echo "as described"
