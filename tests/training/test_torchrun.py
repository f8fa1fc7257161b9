"""Two real processes train like one: whole models or shares, step by step; one goes on with it."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from heedful.config.file import dump_toml
from heedful.tasks.catalog import load_config
from heedful.training import loop
from heedful.training.checkpoint import WEIGHTS, read_pointer
from heedful.training.metrics import read_metrics
from heedful.training.run import load
from heedful.training.start import train

pytestmark = pytest.mark.slow
STEPS = 6
CODE = """
import sys
from pathlib import Path
from heedful.cli import main
from heedful.training import loop, start

folder = Path(sys.argv[1])
loop.LOG_EVERY = 1
try:
    main(["train", str(folder / "ddp.toml"), "--quiet"])  # no word about where the others are
except SystemExit as left:
    assert not left.code
sharded = start.train(folder / "fsdp.toml")

honest = loop.Training._step

def step(training, *rest):
    if training.progress.step == 3:
        raise KeyboardInterrupt
    honest(training, *rest)

loop.Training._step = step
try:
    start.train(folder / "half.toml")
except KeyboardInterrupt:
    pass
import torch.distributed as dist
dist.barrier()
dist.destroy_process_group()
"""


@pytest.fixture
def runs(digit_config, tmp_path):
    """The folder of the runs that two processes have left, and what they have printed."""
    if not torch.distributed.is_available():
        pytest.skip("torch was built without distributed training")
    for name, strategy in (("ddp", "ddp"), ("fsdp", "fsdp"), ("half", "fsdp")):
        config = digit_config(
            steps=STEPS, strategy=strategy, checkpoint_seconds=0.0, evaluate_every=0.5
        )
        model = config.model.model_copy(update={"dropout": 0.0})
        config = config.model_copy(update={"output": str(tmp_path / name), "model": model})
        (tmp_path / f"{name}.toml").write_text(dump_toml(config), encoding="utf-8")
    (tmp_path / "two.py").write_text(CODE, encoding="utf-8")
    command = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
    environment = {key: value for key, value in os.environ.items() if "ACCELERATE" not in key}
    result = subprocess.run(
        [sys.executable, *command, str(tmp_path / "two.py"), str(tmp_path)],
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return tmp_path, result.stdout


def steps_of(folder, key="loss"):
    return [line[key] for line in read_metrics(folder) if key in line]


def weights(folder):
    return load_file(folder / "checkpoints" / read_pointer(folder).last / WEIGHTS)


def test_two_processes_train_like_one_whatever_each_of_them_holds(runs, monkeypatch):
    folder, said = runs
    assert said.splitlines() == [str(folder / "ddp")], "each process has told of the run"
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    config = load_config(folder / "ddp.toml", overrides=["train.accumulate=2"])
    alone = train(config.model_copy(update={"output": str(folder / "alone")}))
    # stopped in two processes that hold shares, and gone on with by one that holds all
    assert read_pointer(folder / "half").last == "step-0000003"
    train(resume=folder / "half", overrides=["train.accumulate=2", "train.strategy=ddp"])
    want = weights(alone.folder)
    for name in ("ddp", "fsdp", "half"):
        for key, count in (("loss", STEPS), ("dev_loss", 2)):
            found = steps_of(folder / name, key)
            assert len(found) == count
            assert found == pytest.approx(steps_of(alone.folder, key), rel=1e-5), name
        for key, tensor in weights(folder / name).items():
            if not key.endswith("key.bias"):  # softmax does not see it: its gradient is rounding
                torch.testing.assert_close(
                    tensor, want[key], rtol=0, atol=1e-4, msg=f"{name} {key}"
                )
    assert load(folder / "fsdp").about["processes"] == 2
    texts = ["1 2 3", "4 5"]
    told = [load(folder / name).answer(texts) for name in ("fsdp", "alone")]
    assert told[0] == told[1]
