"""A new run is whole or absent, and nothing is ever in one that is not on the list."""

from fnmatch import fnmatch

import pytest

from heedful.config.base import TaskConfig, Train
from heedful.data.examples import Example, Splits
from heedful.errors import RunError
from heedful.manifest import MANIFEST, sealed
from heedful.tasks.translation.task import Translation
from heedful.training.layout import ABOUT, create, fixed, written


class Labels:
    """A task with one file of its own, two folders deep."""

    files = ("task/deep/labels.json",)

    def __init__(self, *, broken=False):
        self.config, self.broken = TaskConfig(task="labels", train=Train(steps=1)), broken

    def save(self, folder):
        if self.broken:
            raise RunError("labels must be whole, got none")
        (folder / self.files[0]).write_text("[]", encoding="utf-8")


SPLITS = Splits([Example("a", "b")], [Example("c", "d")], [])


def first(folder):
    (folder / "checkpoints.json").write_text("{}", encoding="utf-8")


def test_what_a_task_writes_is_among_what_is_fixed_and_what_may_be_deleted():
    assert fixed(Translation) == (
        *("run.json", "config.toml", "tokens/source.json", "tokens/target.json"),
        *("splits/dev.jsonl", "splits/test.jsonl"),
    )
    ever = written(Translation)
    assert set(fixed(Translation)) < set(ever)
    for name in ("checkpoints/step-0000007/model.safetensors", "plan.toml", "start/run.json"):
        assert any(fnmatch(name, pattern) for pattern in ever)
    for name in ("notes.txt", "tokens/mine.json", "task/labels.json"):
        assert not any(fnmatch(name, pattern) for pattern in ever)


def test_a_run_holds_what_is_fixed_and_is_sealed(tmp_path):
    create(tmp_path / "run", Labels(), SPLITS, {"seed": 1}, first)
    there = {
        path.relative_to(tmp_path / "run").as_posix()
        for path in (tmp_path / "run").rglob("*")
        if path.is_file()
    }
    assert there == {*fixed(Labels), "checkpoints.json", MANIFEST}
    assert there <= set(written(Labels))
    kept = sealed(tmp_path / "run")
    assert {*kept.files} == set(fixed(Labels))
    assert kept.json(ABOUT) == {"seed": 1}


@pytest.mark.parametrize("where", ["task", "checkpoint"])
def test_what_fails_leaves_nothing(tmp_path, where):
    def failing(folder):
        raise RunError("checkpoint must be whole, got none")

    with pytest.raises(RunError, match="must be whole, got none"):
        create(
            tmp_path / "run",
            Labels(broken=where == "task"),
            SPLITS,
            {},
            first if where == "task" else failing,
        )
    assert not (tmp_path / "run" / ABOUT).exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    create(tmp_path / "run", Labels(), SPLITS, {}, first)


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="output must be a new or an empty folder, got"):
        create(tmp_path, Labels(), SPLITS, {}, first)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
