"""Who holds which positions: all of them once, and under a causal mask all have as much to do."""

import re

import pytest
import torch

from heedful.distributed import gather, places, shard
from heedful.distributed.zigzag import cells, check_cells, ring_of
from heedful.errors import ConfigError, ShapeError


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 4, 7, 30, 64])
def test_every_position_is_held_once(length, size):
    held = [i for rank in range(size) for cell in cells(length, rank, size) for i in cell]
    assert sorted(held) == list(range(length))
    sizes = [len(cell) for rank in range(size) for cell in cells(length, rank, size)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("size", [2, 3, 8])
def test_under_a_causal_mask_each_has_as_much_to_do_at_every_step(size):
    length = 8 * size
    for step in range(size):
        work = []
        for rank in range(size):
            queries = [i for cell in cells(length, rank, size) for i in cell]
            keys = [j for cell in cells(length, (rank - step) % size, size) for j in cell]
            work.append(sum(j <= i for i in queries for j in keys))
        assert max(work) == min(work)


CODE = """
from heedful.distributed import gather, places, shard
whole = torch.arange(2 * 11 * 3, dtype=torch.float32).view(2, 11, 3).requires_grad_()
part = shard(whole, dim=1)
found["places"], found["whole"] = places(11), gather(part, dim=1)
found["gradient"], = torch.autograd.grad(part.sum(), whole)
pair = dist.new_group([0, 2])
if rank != 1:
    found["pair"] = gather(shard(whole, dim=2, group=pair), dim=2, group=pair)
else:
    from heedful.errors import ConfigError
    try:
        places(11, group=pair)
    except ConfigError as error:
        assert str(error).startswith("this process must belong to the group, got "), error
    else:
        raise AssertionError
"""


def test_what_is_cut_is_put_together_again(in_processes):
    said = in_processes(CODE, 3)
    whole = torch.arange(2 * 11 * 3, dtype=torch.float32).view(2, 11, 3)
    for rank, found in enumerate(said):
        own = [i for cell in cells(11, rank, 3) for i in cell]
        assert found["places"].tolist() == own
        assert torch.equal(found["whole"], whole)
        assert found["gradient"].sum((0, 2)).tolist() == [6.0 * (i in own) for i in range(11)]
        assert rank == 1 or torch.equal(found["pair"], whole)


def test_alone_a_process_holds_all(alone):
    tensor = torch.randn(2, 5)
    assert places(5).tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(shard(tensor, dim=1), tensor)
    assert torch.equal(gather(tensor, dim=1), tensor)


def test_without_a_group_nobody_is_taken_for_alone():
    message = "a process group must be there, got none. Call torch.distributed.init_process_group"
    with pytest.raises(ConfigError, match=re.escape(message)):
        ring_of(None)


def test_other_positions_are_noticed():
    check_cells("key", [3, 4], 2)
    message = "key must have [3, 4] positions in the 2 processes for a text of 7, got [4, 3]. "
    with pytest.raises(ShapeError, match=re.escape(message)):
        check_cells("key", [4, 3], 2)
