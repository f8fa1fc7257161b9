#!/usr/bin/env bash
# torch 2.13.0: torch.nn.utils.prune on the output projection of nn.MultiheadAttention.
#
# Expected: as with any linear layer, a pruned model trains, and a checkpoint of it loads into another pruned model.
# Seen: a loaded checkpoint is not used. `weight` of a pruned layer is made anew from `weight_orig` and `weight_mask` by a hook
# before each forward of that layer; attention reads `out_proj.weight` and never calls `out_proj`. So after load_state_dict,
# which reports that all keys match, the attention goes on with the weights from before, without a word. Training stops at its
# second step ("Trying to backward through the graph a second time"). The old weight_norm does the same; the newer
# torch.nn.utils.parametrizations.weight_norm, a property rather than a hook, does not.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/bin/python" - <<'PYTHON'
import warnings

import torch
from torch.nn.utils import parametrizations, prune, weight_norm

warnings.filterwarnings("ignore")
x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
WAYS = {
    "prune": lambda linear: prune.l1_unstructured(linear, "weight", 0.5),
    "weight_norm": weight_norm,
    "parametrizations.weight_norm": parametrizations.weight_norm,
}


def attention(seed, way):
    torch.manual_seed(seed)
    made = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    way(made.out_proj)
    return made


def apart(way):
    """How far outputs are from those of the model whose checkpoint was loaded."""
    saved, loaded = (attention(seed, way).eval() for seed in (0, 1))
    said = loaded.load_state_dict(saved.state_dict())
    assert not said.missing_keys and not said.unexpected_keys
    with torch.no_grad():
        return float((saved(x, x, x)[0] - loaded(x, x, x)[0]).abs().max())


def steps(way):
    """How many of three steps a training gets to."""
    model = attention(0, way)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(3):
        try:
            model(x, x, x)[0].pow(2).mean().backward()
        except RuntimeError as error:
            assert "backward through the graph a second time" in str(error)
            return step
        optimizer.step()
        optimizer.zero_grad()
    return 3


found = {name: (apart(way), steps(way)) for name, way in WAYS.items()}
for name, (far, count) in found.items():
    print(f"torch {torch.__version__}, {name}: loaded, outputs are {far:.2f} apart; {count} of 3 steps")
assert found["prune"][0] > 0.1 and found["weight_norm"][0] > 0.1, "this has changed"
assert found["prune"][1] == found["weight_norm"][1] == 1, "this has changed"
assert found["parametrizations.weight_norm"] == (0.0, 3), "this has changed"
linear = [torch.nn.Linear(16, 16) for _ in range(2)]
for each in linear:
    prune.l1_unstructured(each, "weight", 0.5)
linear[1].load_state_dict(linear[0].state_dict())
assert torch.equal(linear[0](x), linear[1](x))  # a layer that is called is right
PYTHON
echo "as described"
