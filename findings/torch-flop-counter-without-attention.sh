#!/usr/bin/env bash
# torch 2.13.0: FlopCounterMode on a CPU, for attention.
#
# Expected: the two products of scaled_dot_product_attention, 2 * 2 * heads * queries * keys * dim operations, as the
# counter has it on a GPU and on the meta device, and as it counts the same products that are written out.
# Seen: 0. The kernel of the CPU, _scaled_dot_product_flash_attention_for_cpu, has no formula; neither has the fused layer
# that nn.TransformerEncoderLayer is in evaluation mode, of which nothing counts at all, its linear layers included.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" numpy==2.4.6
"$folder/bin/python" - <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode


def counted(function, *tensors):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function(*tensors)
    return counter.get_total_flops()


fused = torch.nn.functional.scaled_dot_product_attention
heads, length, dim = 2, 8, 4
query = torch.randn(1, heads, length, dim)
plain = counted(lambda q: (q @ q.mT).softmax(-1) @ q, query)
on_cpu, on_meta = counted(fused, *[query] * 3), counted(fused, *[query.to("meta")] * 3)
layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
texts = torch.randn(1, 8, 8)
training, evaluation = counted(layer.train(), texts), counted(layer.eval(), texts)
print(f"torch {torch.__version__}: written out {plain}, fused on a CPU {on_cpu}, on meta {on_meta}")
print(f"a layer of an encoder: {training} in training mode, {evaluation} in evaluation mode")
assert plain == 2 * 2 * heads * length * length * dim == on_meta
assert on_cpu == evaluation == 0 < training, "this has changed"
PYTHON
echo "as described"
