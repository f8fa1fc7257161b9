"""Real processes that share a text: what each of them comes to, as tensors by name."""

import pytest
import torch
from safetensors.torch import load_file
from tests.forked import run_together

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
        done = run_together(
            HEAD + code + TAIL,
            [(rank, size, folder) for rank in range(size)],
            folder,
        )
        said = "\n".join(each.stderr for each in done)
        assert [each.returncode for each in done] == [0] * size, said[-3_000:]
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
