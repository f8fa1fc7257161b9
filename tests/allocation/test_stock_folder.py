"""A plain folder appears whole, and from_pretrained opens it."""

import json

import pytest

from heedful.allocation import stock_folder
from heedful.allocation.stock_folder import save_stock
from heedful.errors import RunError

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")


def tiny():
    config = T.ViTConfig(
        hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=8,
        image_size=8, patch_size=4,
    )  # fmt: skip
    return T.ViTModel(config).eval()


def test_it_opens_again(tmp_path, capfd):
    model, folder = tiny(), tmp_path / "plain"
    save_stock(folder, model, report={"accepted": True}, beside={"1_Pooling/config.json": b"{}"})
    assert capfd.readouterr().err == ""
    assert json.loads((folder / "report.json").read_text()) == {"accepted": True}
    assert (folder / "1_Pooling/config.json").read_bytes() == b"{}"
    again = T.ViTModel.from_pretrained(folder).eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(x).last_hidden_state, model(x).last_hidden_state)
    with pytest.raises(RunError):
        save_stock(folder, model, report={})


def test_what_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stock_folder, "_save_quietly", full)
    with pytest.raises(RunError, match="No space left"):
        save_stock(tmp_path / "plain", tiny(), report={})
    assert not (tmp_path / "plain").exists()
