"""Checkpoints: whole, exact, and never a damaged one loaded."""

import errno
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from heedful import files
from heedful.errors import RunError
from heedful.training.checkpoint import (
    OPTIMIZER,
    POINTER,
    WEIGHTS,
    Progress,
    load_checkpoint,
    load_weights,
    read_pointer,
    save_checkpoint,
)


class Tied(nn.Module):
    """Two names for one matrix, a buffer that counts and one that does not."""

    def __init__(self, width=3):
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.register_buffer("kept", torch.arange(4.0))
        self.register_buffer("derived", torch.arange(2.0), persistent=False)


def trained(seed=0):
    torch.manual_seed(seed)
    model = Tied()
    optimizer = torch.optim.AdamW(model.parameters(), 0.1, fused=True)
    for _ in range(3):
        model.second(model.first(torch.randn(2, 3))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def test_everything_comes_back(tmp_path):
    model, optimizer = trained()
    model.kept += 1
    save_checkpoint(tmp_path, model, optimizer, Progress(step=3, epoch=2, seconds=1.5), best=True)
    drawn = torch.rand(4)
    other, other_optimizer = Tied(), None
    other_optimizer = torch.optim.AdamW(other.parameters(), 0.1, fused=True)
    progress = load_checkpoint(tmp_path, other, other_optimizer)
    assert progress == Progress(step=3, epoch=2, seconds=1.5)
    assert torch.equal(torch.rand(4), drawn)
    assert other.first.weight is other.second.weight
    for (name, left), right in zip(
        model.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name
    for left, right in zip(model.parameters(), other.parameters(), strict=True):
        assert optimizer.state[left].keys() == other_optimizer.state[right].keys()
        for key, value in optimizer.state[left].items():
            assert torch.equal(value, other_optimizer.state[right][key]), key


def test_shared_weights_are_stored_once_and_derived_buffers_not_at_all(tmp_path):
    save_checkpoint(tmp_path, *trained(), Progress(step=3), best=True)
    stored = load_file(tmp_path / "checkpoints" / "step-0000003" / WEIGHTS)
    assert sorted(stored) == ["first.weight", "kept", "second.bias"]


def test_only_the_last_and_the_best_are_kept(tmp_path):
    model, optimizer = trained()
    for step, best in ((1, True), (2, False), (3, True), (4, False), (5, False)):
        save_checkpoint(tmp_path, model, optimizer, Progress(step=step), best=best)
    pointer = read_pointer(tmp_path)
    assert (pointer.last, pointer.best) == ("step-0000005", "step-0000003")
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-0000003", "step-0000005"]


def test_saving_the_same_step_again_never_touches_the_folder_in_use(tmp_path):
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, Progress(step=1), best=True)
    save_checkpoint(tmp_path, model, optimizer, Progress(step=1, finished=True), best=False)
    pointer = read_pointer(tmp_path)
    assert (pointer.last, pointer.best) == ("step-0000001-2", "step-0000001")


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_full_disk_at_any_write_keeps_the_checkpoint_before(tmp_path, monkeypatch, writes):
    """Three files and the pointer are written; each fails in turn."""
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, Progress(step=1), best=True)
    before = load_file(tmp_path / "checkpoints" / "step-0000001" / WEIGHTS)
    with torch.no_grad():
        model.first.weight += 1
    honest, calls = os.fsync, iter(range(1, 100))

    def failing(descriptor):
        if next(calls) == writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(descriptor)

    monkeypatch.setattr(files.os, "fsync", failing)
    with pytest.raises(RunError, match="must be writable, got: No space left on device"):
        save_checkpoint(tmp_path, model, optimizer, Progress(step=2), best=True)
    monkeypatch.undo()
    other, other_optimizer = trained(1)
    assert load_checkpoint(tmp_path, other, other_optimizer).step == 1
    assert torch.equal(other.first.weight, before["first.weight"])
    save_checkpoint(tmp_path, model, optimizer, Progress(step=2), best=True)
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert len(kept) == 1, "what the failed attempt left behind is cleaned up"


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_an_error(tmp_path, name, share):
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, Progress(step=1), best=True)
    path = tmp_path / "checkpoints" / "step-0000001" / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(RunError, match=f"{name} must be whole, got a damaged file"):
        load_checkpoint(tmp_path, model, optimizer)


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER, "progress.json"])
def test_a_missing_file_is_an_error(tmp_path, name):
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, Progress(step=1), best=True)
    (tmp_path / "checkpoints" / "step-0000001" / name).unlink()
    with pytest.raises(RunError, match=rf"must hold {name}, got none in"):
        load_checkpoint(tmp_path, model, optimizer)


def test_a_model_of_another_kind_or_size_is_an_error(tmp_path):
    save_checkpoint(tmp_path, *trained(), Progress(step=1), best=True)
    with pytest.raises(RunError, match=r"must fit the model, got a difference in bias, first\.w"):
        load_weights(tmp_path, nn.Linear(3, 3))
    with pytest.raises(RunError, match=r"got first\.weight of shape \(3, 3\) for \(5, 5\)"):
        load_weights(tmp_path, Tied(width=5))


def test_a_failed_load_leaves_the_model_as_it_was(tmp_path):
    save_checkpoint(tmp_path, *trained(), Progress(step=1), best=True)
    path = tmp_path / "checkpoints" / "step-0000001" / WEIGHTS
    save_file({**load_file(path), "second.bias": torch.zeros(9)}, path)
    model = Tied()
    before = model.first.weight.clone()
    with pytest.raises(RunError, match="must fit the model"):
        load_weights(tmp_path, model)
    assert torch.equal(model.first.weight, before)


@pytest.mark.parametrize("content", ['{"last": "a"}', "[]", '{"last": "a", "best": "b", "c": 1}'])
def test_a_strange_pointer_is_an_error(tmp_path, content):
    (tmp_path / POINTER).write_text(content)
    with pytest.raises(RunError, match="must name a last and a best checkpoint, got"):
        read_pointer(tmp_path)


def test_a_strange_progress_is_an_error(tmp_path):
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, Progress(step=1), best=True)
    (tmp_path / "checkpoints" / "step-0000001" / "progress.json").write_text('{"stride": 1}')
    with pytest.raises(RunError, match="must be a checkpoint of heedful, got no"):
        load_checkpoint(tmp_path, model, optimizer)
