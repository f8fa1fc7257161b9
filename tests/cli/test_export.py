"""`heedful export`: what it passes on, prints and refuses."""

import json

import pytest

ABOUT = {
    "to": "onnx",
    "checks": [
        {"graph": "step", "cases": 5, "largest_difference": 2.26e-6, "largest_value": 7.5},
    ],
}


@pytest.fixture
def asked(monkeypatch):
    """What the library was asked for."""
    found = {}

    def export(run, **given):
        found.update(run=run, **given)
        return ABOUT

    monkeypatch.setattr("heedful.exporting.export.export", export)
    return found


def test_it_says_how_far_from_torch_it_is(heedful, asked, tmp_path):
    code, out, _ = heedful("export", "runs/x", "--to", "onnx", "-o", tmp_path / "out", "--force")
    assert code == 0
    said, folder = out.splitlines()
    assert said == "step: 5 calls with real inputs, at most 2.3e-06 from torch (numbers up to 7.5)"
    assert folder == str(tmp_path / "out")
    assert (str(asked["run"]), asked["to"], asked["force"]) == ("runs/x", "onnx", True)
    assert (asked["output"], asked["task"]) == (tmp_path / "out", None)


def test_json_is_what_stands_in_the_folder(heedful, asked, tmp_path):
    _, out, _ = heedful("export", "runs/x", "--to", "onnx", "-o", tmp_path / "out", "--json")
    assert json.loads(out) == ABOUT


@pytest.mark.parametrize("left_out", ["--to", "-o"])
def test_format_and_output_must_be_said(heedful, asked, left_out):
    words = {"--to": "onnx", "-o": "out"}
    del words[left_out]
    code, _, err = heedful("export", "runs/x", *(word for pair in words.items() for word in pair))
    assert (code, asked) == (2, {})
    assert "Missing option" in err


def test_a_checkpoint_comes_with_real_inputs(heedful, asked, tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text("{}")
    (tmp_path / "d.csv").touch()
    words = ("--to", "onnx", "-o", "out", "--data", "d.csv", "--column", "text=body")
    code, _, _ = heedful("export", "bert", *words)
    assert (code, asked["data"].path.name, asked["data"].columns) == (0, "d.csv", {"text": "body"})
    code, _, err = heedful("export", "runs/x", *words)
    assert code == 2
    assert "--data must come with a checkpoint of Hugging Face, got nothing at runs/x" in err
