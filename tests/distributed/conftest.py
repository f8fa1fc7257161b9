"""Real processes that share a text: what each of them comes to, as tensors by name."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

HEAD = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
import torch.distributed as dist

rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=size)
found = {}
"""
TAIL = """
save_file({k: v.detach().contiguous().clone() for k, v in found.items()}, folder / f"{rank}.st")
dist.barrier()
dist.destroy_process_group()
"""


@pytest.fixture(scope="session")
def in_processes(tmp_path_factory):
    """Run code in some processes; return what each has put into `found`."""
    if not torch.distributed.is_available():
        pytest.skip("torch was built without distributed training")

    def run(code, size):
        folder = tmp_path_factory.mktemp("processes")
        script = folder / "one.py"
        script.write_text(HEAD + code + TAIL, encoding="utf-8")
        processes = [
            subprocess.Popen(
                [sys.executable, str(script), str(rank), str(size), str(folder)],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]
        try:
            said = [process.communicate(timeout=120)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        codes = [process.returncode for process in processes]
        assert codes == [0] * size, "\n".join(said)[-3_000:]
        return [load_file(folder / f"{rank}.st") for rank in range(size)]

    return run


@pytest.fixture
def alone(tmp_path):
    """A group of this process alone."""
    import torch.distributed as dist

    meet = tmp_path / "meet"
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()
