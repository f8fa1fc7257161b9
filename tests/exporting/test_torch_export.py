"""Programs of torch alone, without a pickle inside."""

import subprocess
import sys
import zipfile

import pytest

import heedful

LOAD = """
import sys; sys.modules["heedful"] = None
import torch
from safetensors.torch import load_file
folder = sys.argv[1]
kept = load_file(folder + "/examples.safetensors")
for name in ("start", "step"):
    program = torch.export.load(f"{folder}/{name}.pt2")
    inputs = [x for key, x in kept.items() if key.startswith(f"{name}.inputs.")]
    names = [key.split(".", 2)[2] for key in kept if key.startswith(f"{name}.inputs.")]
    order = sys.argv[2 if name == "start" else 3].split(",")
    given = [kept[f"{name}.inputs.{each}"] for each in order]
    with torch.no_grad():
        logits = program.module()(*given)[0]
    torch.testing.assert_close(logits, kept[f"{name}.outputs.logits"], rtol=1e-4, atol=1e-4)
print("same")
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore", "error:.*treespec:FutureWarning")
def test_it_runs_where_heedful_is_not(run, tmp_path):
    out = tmp_path / "out"
    about = heedful.export(run, to="torch-export", output=out)
    assert all(check["largest_difference"] < check["allowed"] for check in about["checks"])
    with zipfile.ZipFile(out / "step.pt2") as archive:
        pickled = [name for name in archive.namelist() if archive.read(name)[:2] == b"PK"]
        graph = next(archive.read(n) for n in archive.namelist() if n.endswith("models/model.json"))
    assert pickled == []
    assert b'"target": "torch.ops.heedful' not in graph
    orders = [
        ",".join(each["name"] for each in about["graphs"][name]["inputs"])
        for name in ("start", "step")
    ]
    words = [sys.executable, "-W", "ignore", "-c", LOAD, str(out), *orders]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout.strip() == "same", done.stderr[-500:]
