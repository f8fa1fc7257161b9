"""Checkpoint folders: what opens, and what is refused in one line, before anything of it runs."""

import json
import re

import pytest

from heedful.checkpoints.folder import is_checkpoint, open_checkpoint
from heedful.errors import RunError, UnsupportedError

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers")


def changed(folder, **settings):
    config = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(config))


def test_a_checkpoint_opens_as_its_class_with_its_numbers(encoder):
    found = open_checkpoint(encoder)
    assert is_checkpoint(encoder)
    assert found.architecture == "BertModel"
    assert not found.model.training
    wanted = T.BertModel.from_pretrained(encoder).state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in found.model.state_dict().items())
    assert found.read("1_Pooling/config.json") == {}


def test_shards_open_too(encoder, tmp_path):
    model = T.BertModel.from_pretrained(encoder)
    model.save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    assert not (tmp_path / "shards" / "model.safetensors").exists()
    found = open_checkpoint(tmp_path / "shards").model.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("named", [None, [], ["BertModel", "GPT2Model"], "BertModel", [3]])
def test_a_config_names_one_class(encoder, named):
    changed(encoder, architectures=named)
    with pytest.raises((RunError, UnsupportedError), match=r"config\.json must name"):
        open_checkpoint(encoder)


@pytest.mark.parametrize("name", ["OurOwnModel", "BertConfig", "os.system", "__name__"])
def test_code_of_a_checkpoint_is_never_run(encoder, name):
    changed(encoder, architectures=[name], auto_map={"AutoModel": "evil.OurOwnModel"})
    (encoder / "evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(UnsupportedError, match=r"code that comes with a checkpoint is never run"):
        open_checkpoint(encoder)


def test_pickled_weights_are_not_read(encoder):
    (encoder / "model.safetensors").unlink()
    (encoder / "pytorch_model.bin").write_bytes(b"not looked at")
    must = "weights must be safetensors, got pickled ones alone: pytorch_model.bin of "
    with pytest.raises(RunError, match=re.escape(must)):
        open_checkpoint(encoder)
    (encoder / "pytorch_model.bin").rename(encoder / "tf_model.h5")
    with pytest.raises(RunError, match=r"must hold model\.safetensors, got tf_model\.h5"):
        open_checkpoint(encoder)


@pytest.mark.parametrize(
    "index, must",
    [
        ({"weight_map": {"a": "../x.safetensors"}}, "must name files beside it, got '../x."),
        ({"weight_map": {"a": "gone.safetensors"}}, "must name files beside it, got 'gone."),
        ({}, "must say where the weights are, got no weight_map"),
        ([], "must say where the weights are, got no weight_map"),
    ],
)
def test_shards_lie_in_the_folder(encoder, index, must):
    (encoder / "model.safetensors").unlink()
    (encoder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(RunError, match=re.escape(must)):
        open_checkpoint(encoder)


def test_weights_must_be_whole_and_all_there(encoder):
    changed(encoder, num_hidden_layers=3)
    with pytest.raises(RunError, match=r"must hold all weights of BertModel, got 16 missing, "):
        open_checkpoint(encoder)
    changed(encoder, num_hidden_layers=2)
    content = (encoder / "model.safetensors").read_bytes()
    (encoder / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(RunError, match=r"must be a whole checkpoint of BertModel, got: "):
        open_checkpoint(encoder)


def test_other_folders_are_none(tmp_path):
    assert not is_checkpoint(tmp_path)
    with pytest.raises(RunError, match=r"a checkpoint must be a folder with config\.json, got "):
        open_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(RunError, match=r"config\.json must be an object, got \[\]"):
        open_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"config\.json"):
        open_checkpoint(tmp_path)
    (tmp_path / "run.json").touch()
    assert not is_checkpoint(tmp_path)
