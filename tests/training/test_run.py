"""The run folder: what it holds, and what it says when something is missing."""

import json
import shutil

import pytest
import torch
from torch import nn

from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.sites import find_sites
from heedful.allocation.stored import save_model
from heedful.errors import ConfigError, RunError
from heedful.nn import Attention
from heedful.training.run import Run, load
from heedful.training.start import train


@pytest.fixture
def run(digit_config):
    return train(digit_config(steps=4))


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
    assert run.translator is run.translator


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"must be a folder written by heedful train, got"):
        load(tmp_path)


def test_a_run_takes_no_other_model(run):
    message = "into must be left out for a run, which builds its own model, got Linear"
    with pytest.raises(ConfigError, match=message):
        load(run.folder, into=nn.Linear(2, 2))


@pytest.mark.parametrize(
    "name, message",
    [
        ("config.toml", r"config\.toml must be a whole config, got"),
        ("tokens/source.json", r"source\.json must be a saved vocabulary, got no such file"),
        ("tokens/target.json", r"target\.json must be a saved vocabulary, got no such file"),
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


@pytest.mark.parametrize(
    "name", ["config.toml", "run.json", "tokens/source.json", "splits/test.jsonl"]
)
def test_a_truncated_file_is_named(run, name):
    path = run.folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(RunError, match=name.rpartition("/")[2].replace(".", r"\.")):
        use(run)


def test_a_line_of_another_kind_is_an_error(run):
    (run.folder / "splits" / "dev.jsonl").write_text(json.dumps({"question": "?"}) + "\n")
    with pytest.raises(RunError, match=r"dev\.jsonl must be whole, got a damaged line"):
        run.examples("dev")


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


def test_a_plan_changes_the_model_that_a_run_opens(run):
    name = find_sites(run.translator.model)[0][0].name
    plan = Plan(moves={name: (KeepHeads(heads=(3,)),)})
    plan.save(run.folder / "plan.toml")
    assert load(run.folder).plan == plan
    with pytest.raises(RunError, match=r"model\.safetensors must fit the model, got"):
        use(run)  # its numbers are still those of the trained model


@pytest.mark.parametrize("text", ["version = 9", "not toml", ""])
def test_a_damaged_plan_is_named(run, text):
    (run.folder / "plan.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"plan\.toml: a plan must"):
        use(run)


def use(run):
    fresh = Run(run.folder)
    _ = fresh.about
    fresh.examples("test")
    fresh.translator.translate(["one"])
