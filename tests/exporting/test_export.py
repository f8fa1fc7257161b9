"""The door: what is written, and what is refused before anything is."""

import json
import shutil
import sys

import pytest

import heedful
from heedful.errors import ConfigError, MissingExtraError, RunError, UnsupportedError
from heedful.exporting import export
from heedful.manifest import sealed

pytestmark = pytest.mark.slow


def test_the_folder_says_what_it_holds(run, exported):
    about = json.loads((exported / "export.json").read_text(encoding="utf-8"))
    assert (about["to"], about["task"]) == ("onnx", "translation")
    assert {"heedful", "torch", "onnx", "onnxruntime"} <= set(about["versions"])
    start, step = about["graphs"]["start"], about["graphs"]["step"]
    assert [each["name"] for each in start["inputs"]] == ["source", "lengths"]
    assert start["inputs"][0] == {"name": "source", "dtype": "int64", "shape": ["batch", "keys"]}
    shapes = {each["name"]: each["shape"] for each in step["inputs"]}
    assert shapes["past_layer_0_self_key"] == ["batch", 1, "past", 8]
    assert shapes["layer_0_cross_value"] == ["batch", 1, "keys", 8]
    assert about["writing"]["carried"]["present_layer_0_self_key"] == "past_layer_0_self_key"
    assert set(about["writing"]["kept"]) == {"lengths", "layer_0_cross_key", "layer_0_cross_value"}
    assert all(0 < check["largest_difference"] < check["allowed"] for check in about["checks"])
    kept = sealed(exported, holder="an export")
    for name in ("start.onnx", "step.onnx", "translate.py", "tokens/source.json"):
        kept.read(name, most=1 << 26)
    assert (exported / "tokens/target.json").read_bytes() == (
        run / "tokens/target.json"
    ).read_bytes()


def test_another_format_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r'to must be .*got "onx"'):
        heedful.export(run, to="onx", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_package_says_what_brings_it(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'heedful\[export\]'"):
        heedful.export(run, to="onnx", output=tmp_path / "out")


def test_nothing_is_overwritten(run, exported, tmp_path):
    with pytest.raises(
        ConfigError, match=r"output must be a new folder, got .*--force replaces it"
    ):
        heedful.export(run, to="onnx", output=exported)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"that heedful export wrote, got .* no export\.json"):
        heedful.export(run, to="onnx", output=tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_later_export_takes_the_place_of_an_earlier_one_once_it_is_there(
    run, exported, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    shutil.copytree(exported, out)
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def fail(run, folder):
        (folder / "half.onnx").write_bytes(b"half")
        raise UnsupportedError("no words for this model")

    monkeypatch.setattr(export.torch_export, "write_run", fail)
    with pytest.raises(UnsupportedError, match="no words"):
        heedful.export(run, to="torch-export", output=out, force=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before

    def write(run, folder):
        (folder / "model.pt2").write_bytes(b"whole")
        return {}

    monkeypatch.setattr(export.torch_export, "write_run", write)
    heedful.export(run, to="torch-export", output=out, force=True)
    left = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    assert left == {"model.pt2", "export.json", "manifest.json", "notes.txt"}


def test_what_does_not_list_its_files_is_not_replaced(run, tmp_path):
    (tmp_path / "export.json").write_text("{}", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"which has no manifest\.json"):
        heedful.export(run, to="onnx", output=tmp_path, force=True)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"run must be a folder written by heedful train"):
        heedful.export(tmp_path, to="onnx", output=tmp_path / "out")


def test_a_run_without_weights_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints")
    with pytest.raises(RunError, match="got"):
        heedful.export(tmp_path / "run", to="onnx", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
