#!/usr/bin/env bash
# torch 2.13.0 (2.14.1 alike), CPU, float32: gradients of scaled_dot_product_attention where a whole row of an additive
# mask is very low.
#
# Expected: a constant added to all scores of a query changes neither its weights nor any gradient. Models rely on it:
# masks of numbers hold finfo.min at hidden keys, and in a row of padding that is all they hold.
# Seen: the output is right to 2e-7, the gradients of query, key and value are wrong by 1.2 to 2.3 where the true ones
# are of that size. The backward pass computes the weights anew from the stored logarithm of their sum; beside -1e30
# its log(6) is rounded away, so that each of six equal weights becomes 1 in place of 1/6. At -1e4 four digits are left.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math

import torch
from torch.nn.functional import scaled_dot_product_attention

torch.manual_seed(0)
tensors = torch.randn(3, 1, 2, 6, 8)


def explicit(query, key, value, *, attn_mask):
    return (query @ key.mT / math.sqrt(8) + attn_mask).softmax(-1) @ value


def answers(attend, mask):
    leaves = [x.clone().requires_grad_() for x in tensors]
    output = attend(*leaves, attn_mask=mask)
    output[:, :, 2].pow(2).sum().backward()
    return [output.detach(), *(x.grad for x in leaves)]


for low, least, most in ((torch.finfo(torch.float32).min, 1, 9), (-1e30, 1, 9), (-1e4, 1e-5, 1e-2), (0.0, 0, 1e-5)):
    mask = torch.zeros(6, 6)
    mask[2] = low
    output, *gradients = (
        (one - other).abs().max().item()
        for one, other in zip(answers(scaled_dot_product_attention, mask), answers(explicit, mask), strict=True)
    )
    told = ", ".join(f"{error:.1e}" for error in gradients)
    print(f"torch {torch.__version__}, a row of {low:.1e}: output off by {output:.1e}, gradients of query, key, value by {told}")
    assert output < 1e-5 and least <= max(gradients) <= most, "this has changed"
print("as described")
PYTHON
