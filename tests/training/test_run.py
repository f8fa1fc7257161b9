"""The run folder: what it holds, and what it says when something is missing."""

import errno
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.sites import find_sites
from heedful.allocation.stored import save_model
from heedful.data.load import TsvData
from heedful.errors import ConfigError, RunError, RunWarning
from heedful.manifest import MANIFEST
from heedful.nn import Attention
from heedful.tasks.catalog import load_config
from heedful.tasks.translation.config import Config, Decode, Train, TransformerModel
from heedful.tasks.translation.task import Translation
from heedful.training.layout import fixed
from heedful.training.loop import Training
from heedful.training.run import Run, build, load
from heedful.training.start import train


@pytest.fixture(scope="module")
def trained(digit_files, tmp_path_factory):
    """A run that no test changes."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    return train(tiny(digit_files, folder, steps=4)).folder


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def older(run):
    """A run from before there were manifests: what it holds is looked at all the same."""
    for path in run.folder.rglob(MANIFEST):
        path.unlink()
    return Run(run.folder)


def test_a_run_is_all_that_is_needed(run, tmp_path):
    translated = run.translator.translate(["one"])
    moved = tmp_path / "elsewhere"
    shutil.move(run.folder, moved)
    again = load(moved)
    assert again.config == run.config
    assert len(again.examples("test")) == 50
    assert len(again.examples("dev")) == 40
    assert again.examples("test")[0].source.split()[0] in "zero one two three four five".split()
    assert again.translator.translate(["one"]) == translated


def test_the_model_is_loaded_once(run):
    assert run.model is run.model is run.translator.model


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"must be a folder written by heedful train, got"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_no_folder_can_have_is_an_error(digit_files, name):
    with pytest.raises(RunError, match="a run or a saved model must be a folder, got none at"):
        load(name)
    with pytest.raises(RunError, match=r"able, got: (File name too long|(mkdir: )?embedded null)"):
        train(tiny(digit_files, Path(name), steps=2))


@pytest.mark.parametrize("into", [None, nn.Linear(2, 2)])
@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch()])
def test_a_folder_that_is_not_there_is_an_error_whatever_is_given(tmp_path, make, into):
    make(tmp_path / "x")
    settings = {} if into is None else {"into": into}
    with pytest.raises(RunError, match="a run or a saved model must be a folder, got none at"):
        load(tmp_path / "x", **settings)
    with pytest.raises(RunError, match="must be a folder written by heedful train, got"):
        load(tmp_path, **settings)


def test_a_run_takes_no_other_model(run):
    message = "into must be left out for a run, got Linear"
    with pytest.raises(ConfigError, match=message):
        load(run.folder, into=nn.Linear(2, 2))


@pytest.mark.parametrize(
    "name, message",
    [
        ("config.toml", r"must hold config\.toml, got none in"),
        ("tokens/source.json", r"must hold source\.json, got none in"),
        ("tokens/target.json", r"must hold target\.json, got none in"),
        ("splits/test.jsonl", r"must hold test\.jsonl, got none in"),
        ("checkpoints.json", r"must hold checkpoints\.json, got none in"),
        ("checkpoints", r"must hold model\.safetensors, got none in"),
    ],
)
def test_a_missing_file_is_named(run, name, message):
    path = run.folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RunError, match=message):
        use(run)


TEXTS = ["config.toml", "run.json", "tokens/source.json", "splits/test.jsonl"]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("at", [0.0, 0.3, 2 / 3, 0.999])
@pytest.mark.parametrize("line", [True, False], ids=["end of a line", "anywhere"])
def test_a_truncated_file_is_named(run, name, at, line):
    """Also where it ends with a line, behind which nothing seems to be missing."""
    path = run.folder / name
    whole = path.read_bytes()
    end = int(at * len(whole))
    path.write_bytes(whole[: whole.rfind(b"\n", 0, end) + 1 if line else end])
    with pytest.raises(RunError, match=name.rpartition("/")[2].replace(".", r"\.")):
        use(run)


@pytest.mark.parametrize("name", [*TEXTS, "tokens/target.json"])
def test_one_bit_turned_over_is_noticed(run, name):
    path = run.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="must be as it was written, got something else than man"):
        use(run)


def test_an_older_run_opens_and_may_be_changed_by_hand(older):
    assert older.translator.translate(["one"])
    path = older.folder / "config.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("beam = 1", "beam = 2"))
    assert Run(older.folder).config.decode.beam == 2


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda about: [about], r"must say how a run came about, got \["),
        (lambda about: {**about, "precision": "fp8"}, "must have a precision of .*, got 'fp8'"),
        (lambda about: {**about, "precision": ["fp32"]}, r"must have a precision of .*, got \["),
        (lambda about: {"task": "translation"}, "must have a precision of .*, got None"),
    ],
)
def test_a_strange_account_of_a_run_is_an_error(older, change, message):
    path = older.folder / "run.json"
    path.write_text(json.dumps(change(json.loads(path.read_bytes()))))
    with pytest.raises(RunError, match=rf"run\.json {message}"):
        _ = older.about
    with pytest.raises(RunError, match=rf"run\.json {message}"):
        train(resume=older.folder)


def test_a_model_that_is_too_large_for_any_machine_is_an_error(run):
    for settings in ({"width": 2**40, "heads": 2**30}, {"feedforward": 2**60}):
        model = run.config.model.model_copy(update=settings)
        config = run.config.model_copy(update={"model": model})
        with pytest.raises(RunError, match="the model must be one that can be built here, got: "):
            build(Translation(config, run.task.vocabularies))


# ---- before the first evaluation -----------------------------------------------------------------


@pytest.fixture
def stopped(digit_files, tmp_path, monkeypatch):
    """A run that was killed after three steps, before anything was evaluated."""
    honest, steps = Training._step, itertools.count()

    def step(*arguments):
        if next(steps) == 3:
            raise KeyboardInterrupt
        honest(*arguments)

    monkeypatch.setattr(Training, "_step", step)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(digit_files, tmp_path / "run", steps=400, checkpoint_seconds=0.0))
    monkeypatch.undo()
    return tmp_path / "run"


def test_a_run_that_was_never_evaluated_opens_as_its_last_checkpoint_and_says_so(stopped):
    run = load(stopped)
    assert not run.evaluated
    with pytest.warns(RunWarning, match=r"stopped before its first evaluation: .*step-0000003,"):
        model = run.translator.model
    stored = load_file(stopped / "checkpoints" / "step-0000003" / "model.safetensors")
    assert all(torch.equal(model.state_dict()[name], x) for name, x in stored.items())
    torch.manual_seed(run.config.seed)
    fresh = build(run.task).state_dict()
    assert not torch.equal(fresh["source_embedding.weight"], stored["source_embedding.weight"])


def test_a_run_that_was_evaluated_says_nothing(run):
    assert run.evaluated
    assert run.translator


# ---- a start that fails leaves nothing -----------------------------------------------------------


def test_a_full_disk_before_the_first_step_leaves_nothing(digit_files, tmp_path, monkeypatch):
    honest = os.fsync
    config = tiny(digit_files, tmp_path / "run", steps=2)
    for writes in (1, 9, 17, 18):
        calls = itertools.count(1)

        def failing(descriptor, calls=calls, writes=writes):
            if next(calls) == writes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            honest(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(RunError, match="must be writable, got: No space left on device"):
            train(config)
        assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert train(config).evaluated


def test_a_kill_before_the_first_step_leaves_nothing_that_is_in_the_way(digit_files, tmp_path):
    config = tiny(digit_files, tmp_path / "run", steps=2)
    left = tmp_path / "run" / ".start.99.tmp"
    (left / "tokens").mkdir(parents=True)
    (left / "config.toml").write_text("half")
    (left / "tokens" / ".source.json.99.tmp").write_text("half")
    run = train(config)
    assert not left.exists()
    assert run.evaluated


# ---- what may be asked for -----------------------------------------------------------------------


def test_a_run_with_other_limits_is_copied_with_them(run, tmp_path):
    """As an optimisation does at its end."""
    file = run.folder / "config.toml"
    file.write_text(file.read_text().replace("steps = 4", "steps = 6"), encoding="utf-8")
    edited = load(run.folder)
    edited.copy(tmp_path / "copy")
    copied = load_config(tmp_path / "copy" / "config.toml")
    assert copied == edited.config
    assert copied.train.steps == 6
    for name in fixed(Translation):
        same = (tmp_path / "copy" / name).read_bytes() == (run.folder / name).read_bytes()
        assert same, name


def test_only_held_out_splits_can_be_asked_for(run):
    with pytest.raises(ConfigError, match="must be one of dev, test, got 'train'"):
        run.examples("train")


def test_a_saved_model_is_built_again_from_a_fresh_original(tmp_path):
    def fresh():
        return nn.Sequential(Attention(width=8, heads=4), nn.Linear(8, 3))

    plan = Plan(moves={"0": (KeepHeads(heads=(1, 2)),)})
    model = plan.apply(fresh()).eval()
    save_model(tmp_path / "out", model, plan)
    again = load(tmp_path / "out", into=fresh(), device="cpu")
    x = torch.randn(2, 5, 8)
    assert torch.equal(again(x), model(x))
    with pytest.raises(ConfigError, match="load must get `into`, a fresh Sequential"):
        load(str(tmp_path / "out"))


def test_a_trained_run_has_no_plan(run):
    assert run.plan is None


def test_a_plan_that_came_later_is_not_taken(run):
    Plan().save(run.folder / "plan.toml")
    with pytest.raises(RunError, match=r"plan\.toml must be as it was written, got something else"):
        use(run)


def test_a_plan_changes_the_model_that_a_run_opens(older):
    run = older
    name = find_sites(run.translator.model)[0][0].name
    plan = Plan(moves={name: (KeepHeads(heads=(1,)),)})
    plan.save(run.folder / "plan.toml")
    assert load(run.folder).plan == plan
    with pytest.raises(RunError, match=r"model\.safetensors must fit the model, got"):
        use(run)  # its numbers are still those of the trained model


@pytest.mark.parametrize("text", ["version = 9", "not toml", ""])
def test_a_damaged_plan_is_named(older, text):
    run = older
    (run.folder / "plan.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"plan\.toml: a plan must"):
        use(run)


@pytest.mark.parametrize(
    "make",
    [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere"), os.mkfifo],
    ids=["folder", "link to nothing", "pipe"],
)
@pytest.mark.parametrize("name", [*TEXTS, "plan.toml", "checkpoints.json"])
def test_what_is_no_file_is_not_overlooked_and_never_blocks(older, name, make):
    path = older.folder / name
    path.unlink(missing_ok=True)
    make(path)
    with pytest.raises((RunError, ConfigError), match=path.name.replace(".", r"\.")):
        use(older)


def tiny(files, folder, **train):
    return Config(
        output=str(folder),
        data=TsvData(
            **{name: str(files / f"{name}.tsv") for name in ("train", "dev", "test")}, max_length=32
        ),
        model=TransformerModel(
            width=16, heads=2, encoder_layers=1, decoder_layers=1, feedforward=16
        ),
        train=Train(**{"precision": "fp32", "tokens_per_batch": 256, **train}),
        decode=Decode(max_length=16),
    )


def use(run):
    fresh = Run(run.folder)
    _ = fresh.about
    fresh.examples("test")
    fresh.translator.translate(["one"])
