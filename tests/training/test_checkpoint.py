"""Checkpoints: whole, exact, and never a damaged one loaded."""

import errno
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from heedful import files
from heedful.errors import RunError
from heedful.manifest import MANIFEST
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
    return model, {"main": optimizer}


def test_everything_comes_back(tmp_path):
    model, optimizers = trained()
    model.kept += 1
    save_checkpoint(tmp_path, model, optimizers, Progress(step=3, epoch=2, seconds=1.5), best=True)
    drawn = torch.rand(4)
    other, optimizer = Tied(), optimizers["main"]
    other_optimizer = torch.optim.AdamW(other.parameters(), 0.1, fused=True)
    progress = load_checkpoint(tmp_path, other, {"main": other_optimizer})
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
    model, optimizers = trained()
    for step, best in ((1, True), (2, False), (3, True), (4, False), (5, False)):
        save_checkpoint(tmp_path, model, optimizers, Progress(step=step), best=best)
    pointer = read_pointer(tmp_path)
    assert (pointer.last, pointer.best) == ("step-0000005", "step-0000003")
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-0000003", "step-0000005"]


def test_saving_the_same_step_again_never_touches_the_folder_in_use(tmp_path):
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1, finished=True), best=False)
    pointer = read_pointer(tmp_path)
    assert (pointer.last, pointer.best) == ("step-0000001-2", "step-0000001")


@pytest.mark.parametrize("writes", range(1, 8))
def test_a_full_disk_at_any_write_keeps_the_checkpoint_before(tmp_path, monkeypatch, writes):
    """Four files, their names, their folder and the pointer are written; each fails in turn."""
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
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
        save_checkpoint(tmp_path, model, optimizers, Progress(step=2), best=True)
    monkeypatch.undo()
    other, others = trained(1)
    assert load_checkpoint(tmp_path, other, others).step == 1
    assert torch.equal(other.first.weight, before["first.weight"])
    save_checkpoint(tmp_path, model, optimizers, Progress(step=2), best=True)
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert len(kept) == 1, "what the failed attempt left behind is cleaned up"


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("kept", [True, False], ids=["manifest", "older"])
def test_a_truncated_file_is_an_error(tmp_path, name, share, kept):
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    path = tmp_path / "checkpoints" / "step-0000001" / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    message = f"{name} must be whole, got .* bytes" if kept else f"{name} must be whole, got a dam"
    if not kept:
        (path.parent / MANIFEST).unlink()
    with pytest.raises(RunError, match=message):
        load_checkpoint(tmp_path, model, optimizers)


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER, "progress.json"])
def test_a_missing_file_is_an_error(tmp_path, name):
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    (tmp_path / "checkpoints" / "step-0000001" / name).unlink()
    with pytest.raises(RunError, match=rf"must hold {name}, got none in"):
        load_checkpoint(tmp_path, model, optimizers)


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
    (path.parent / MANIFEST).unlink()
    model = Tied()
    before = model.first.weight.clone()
    with pytest.raises(RunError, match="must fit the model"):
        load_weights(tmp_path, model)
    assert torch.equal(model.first.weight, before)


@pytest.mark.parametrize(
    "content",
    [
        *('{"last": "step-0000001"}', "[]", "7", "null"),
        '{"last": "step-0000001", "best": "step-0000001", "c": 1}',
        *(
            json.dumps({"last": name, "best": "step-0000001"})
            for name in (
                *("../../theirs", "/etc", "..", ".", "", "step-1", "step-0000001/../x", "a\0b"),
                *(
                    "step-0000001\n",
                    "step-0000001 copy",
                    "\ud800",
                    "step-\u0661000000",
                    1,
                    None,
                    [],
                ),
            )
        ),
        '{"last": "step-0000001", "best": false}',
    ],
)
def test_a_strange_pointer_is_an_error(tmp_path, content):
    (tmp_path / POINTER).write_text(content)
    with pytest.raises(RunError, match="must name a last and a best checkpoint, got"):
        read_pointer(tmp_path)


def test_a_pointer_nested_without_end_is_an_error(tmp_path):
    (tmp_path / POINTER).write_text("[" * 100_000)
    with pytest.raises(RunError, match="must be whole, got JSON that is nested too deep"):
        read_pointer(tmp_path)


# ---- only what was written is deleted ------------------------------------------------------------


def test_nobody_elses_files_are_deleted(tmp_path):
    """A copy, notes, a checkpoint with notes in it, a link: all of them stay; what is ours goes."""
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    root = tmp_path / "checkpoints"
    for name in ("step-0000001 copy", "step-0000001-2", "step-0000009", "mine"):
        shutil.copytree(root / "step-0000001", root / name)
    (root / "step-0000001" / "notes.txt").write_text("the best one so far")
    (root / "notes").mkdir()
    (root / "notes.txt").write_text("mine")
    shutil.copytree(root / "step-0000009", tmp_path / "theirs")
    (root / "step-0000008").symlink_to(tmp_path / "theirs")
    before = {path for path in tmp_path.rglob("*") if path.name != POINTER}
    for step in (2, 3, 4):
        save_checkpoint(tmp_path, model, optimizers, Progress(step=step), best=True)
    after = set(tmp_path.rglob("*"))
    assert before <= after
    assert {path.name for path in after - before if path.parent == root} == {"step-0000004"}


def test_what_a_kill_left_is_deleted(tmp_path):
    """A checkpoint that was never pointed to, and one that is half written."""
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    root = tmp_path / "checkpoints"
    pointer = (tmp_path / POINTER).read_bytes()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=2), best=False)
    (tmp_path / POINTER).write_bytes(pointer)
    (root / ".step-0000007.99.tmp").mkdir()
    (root / ".step-0000007.99.tmp" / f".{WEIGHTS}.99.tmp").write_bytes(b"half")
    save_checkpoint(tmp_path, model, optimizers, Progress(step=2), best=True)
    assert [path.name for path in root.iterdir()] == ["step-0000002-2"]


def test_checkpoints_from_before_there_were_manifests_are_deleted_when_nobody_points_to_them(
    tmp_path,
):
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    (tmp_path / "checkpoints" / "step-0000001" / MANIFEST).unlink()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=2), best=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000002"]


@pytest.mark.parametrize("which", ["checkpoints", "checkpoints/step-0000001"])
def test_a_link_in_the_way_is_refused(tmp_path, which):
    model, optimizers = trained()
    run = tmp_path / "run"
    save_checkpoint(run, model, optimizers, Progress(step=1), best=True)
    shutil.move(run / which, tmp_path / "theirs")
    (run / which).symlink_to(tmp_path / "theirs")
    before = sorted((tmp_path / "theirs").rglob("*"))
    with pytest.raises(RunError, match=r"must be a folder of the run, got a link"):
        load_checkpoint(run, model, optimizers)
    if which == "checkpoints":
        with pytest.raises(RunError, match=r"must be a folder of the run, got a link"):
            save_checkpoint(run, model, optimizers, Progress(step=2), best=True)
    else:
        save_checkpoint(run, model, optimizers, Progress(step=2), best=True)
    assert sorted((tmp_path / "theirs").rglob("*")) == before


# ---- before the first evaluation -----------------------------------------------------------------


def test_nothing_is_best_before_it_was_evaluated(tmp_path):
    model, optimizers = trained()
    for step in (0, 1):
        save_checkpoint(tmp_path, model, optimizers, Progress(step=step), best=False)
    assert read_pointer(tmp_path).best is None
    assert load_weights(tmp_path, model) == "step-0000001"
    save_checkpoint(tmp_path, model, optimizers, Progress(step=2), best=True)
    save_checkpoint(tmp_path, model, optimizers, Progress(step=3), best=False)
    assert load_weights(tmp_path, model) == "step-0000002"


def test_step_0_of_an_older_run_is_not_its_best(tmp_path):
    (tmp_path / POINTER).write_text('{"last": "step-0000059", "best": "step-0000000"}')
    pointer = read_pointer(tmp_path)
    assert (pointer.last, pointer.best) == ("step-0000059", None)


# ---- everything is read as hostile ---------------------------------------------------------------


def hostile(tmp_path):
    """A checkpoint without a manifest, so that what it holds is looked at more closely."""
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    folder = tmp_path / "checkpoints" / "step-0000001"
    (folder / MANIFEST).unlink()
    return folder


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER, "progress.json"])
def test_one_bit_turned_over_is_noticed(tmp_path, name):
    model, optimizers = trained()
    save_checkpoint(tmp_path, model, optimizers, Progress(step=1), best=True)
    path = tmp_path / "checkpoints" / "step-0000001" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    with pytest.raises(RunError, match=f"{name} must be as it was written, got something else"):
        load_checkpoint(tmp_path, model, optimizers)


@pytest.mark.parametrize(
    "change",
    [
        *({"step": value} for value in (-1, "1", None, 1.5, True, 10**30, [])),
        *({"seconds": value} for value in (float("nan"), float("inf"), -1.0, "1", None, 1e300)),
        *({"best_score": value} for value in (float("nan"), "1", 10**400)),
        {"finished": 1},
        {"batch": -1},
        {"epoch": "x"},
        {"waiting": None},
    ],
)
def test_a_strange_progress_is_an_error(tmp_path, change):
    path = hostile(tmp_path) / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(RunError, match=f"must say where a training stands, got {min(change)} = "):
        load_checkpoint(tmp_path, *trained())


@pytest.mark.parametrize("content", ["[]", "3", '{"stride": 1}'])
def test_a_progress_of_something_else_is_an_error(tmp_path, content):
    (hostile(tmp_path) / "progress.json").write_text(content)
    with pytest.raises(RunError, match="must say where a training stands, got"):
        load_checkpoint(tmp_path, *trained())


NAME = "first.weight"


@pytest.mark.parametrize(
    "change, message",
    [
        ({f"exp_avg/{NAME}": torch.zeros(1)}, r"got exp_avg/.* of shape \(1,\) for \(3, 3\)"),
        ({f"exp_avg_sq/{NAME}": torch.zeros(9)}, r"got exp_avg_sq/.* of shape \(9,\)"),
        ({f"exp_avg/{NAME}": torch.zeros(3, 3).half()}, "as torch.float16 for torch.float32"),
        ({f"exp_avg/{NAME}": torch.full((3, 3), torch.nan)}, "with what is no number"),
        ({f"step/{NAME}": torch.zeros(2)}, r"got step/.* of shape \(2,\) for \(\)"),
        ({f"step/{NAME}": None}, f"must hold the whole optimizer, got no step/{NAME}"),
        (
            {f"{key}/{NAME}": None for key in ("step", "exp_avg", "exp_avg_sq")},
            f"must hold the whole optimizer, got no exp_avg/{NAME}",
        ),
        ({"exp_avg/other": torch.zeros(1)}, "must fit the model, got 'exp_avg/other' besides"),
        ({"random/cpu": None}, "must hold the whole optimizer, got no random/cpu"),
        ({"random/cpu": torch.zeros(3)}, "must hold a state of random numbers, got: "),
        (
            {"random/cpu": torch.zeros(3, dtype=torch.uint8)},
            "must hold a state of random numbers, got: ",
        ),
        (
            {"random/cpu": torch.full((5056,), 255, dtype=torch.uint8)},
            "must hold a state of random numbers, got: ",
        ),
    ],
)
def test_an_optimizer_of_another_model_never_reaches_torch(tmp_path, change, message):
    path = hostile(tmp_path) / OPTIMIZER
    state = {**load_file(path), **change}
    save_file({key: tensor for key, tensor in state.items() if tensor is not None}, path)
    with pytest.raises(RunError, match=message):
        load_checkpoint(tmp_path, *trained())


def test_a_training_that_has_not_begun_has_no_state_of_its_optimizer(tmp_path):
    model, _ = trained()
    fresh = torch.optim.AdamW(model.parameters(), 0.1, fused=True)
    save_checkpoint(tmp_path, model, {"main": fresh}, Progress(), best=False)
    assert load_checkpoint(tmp_path, model, {"main": fresh}) == Progress()
    assert not fresh.state


def test_a_progress_of_an_older_run_says_its_best_loss(tmp_path):
    path = hostile(tmp_path) / "progress.json"
    content = json.loads(path.read_bytes())
    content["best_loss"] = 0.25
    del content["best_score"]
    path.write_text(json.dumps(content))
    assert load_checkpoint(tmp_path, *trained()).best_score == 0.25
