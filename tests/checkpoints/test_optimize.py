"""From one checkpoint folder to another: verified, saved, and opened in a new process."""

import json
from dataclasses import replace

import pytest
from tests.forked import run

from heedful.allocation.saved_files import is_model
from heedful.checkpoints.examples import CheckpointData
from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.optimize import optimize_checkpoint
from heedful.errors import BudgetError, ConfigError, UnsupportedError
from heedful.optimizing.events import Note
from heedful.optimizing.settings import OptimizeSettings

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers")

QUICK = OptimizeSettings(
    goal="macs", rounds=1, trials=2, finalists=1, finalist_steps=0, finetune_steps=1, final_steps=2
)
HIDDEN = """
import json, sys
sys.modules["heedful"] = None
import torch, transformers
"""
OPEN = """
import json, sys, torch, transformers, heedful
model = heedful.load(sys.argv[1])
reader = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
with torch.inference_mode():
    said = model(**reader("a b c", return_tensors="pt")).last_hidden_state
print(json.dumps(said.tolist()))
"""


@pytest.mark.usefixtures("faster")
def test_an_encoder_becomes_a_folder_that_opens_elsewhere(encoder, lines, tmp_path):
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    events = []
    out = tmp_path / "out"
    outcome = optimize_checkpoint(
        encoder, CheckpointData(path=lines), lose="cosine 0.9", output=out, settings=QUICK,
        on_event=events.append,
    )  # fmt: skip
    assert is_model(out)
    report = json.loads((out / "report.json").read_text())
    assert report["accepted"]
    assert "a plain checkpoint must" in report["transformers"]["cannot_say"]
    assert report["data"]["examples"].keys() == {"calibration", "dev", "test"}
    assert sum(report["data"]["examples"].values()) == 400
    assert any(isinstance(event, Note) and "for calibration" in event.text for event in events)
    assert (encoder / "test-looks.jsonl").read_bytes().count(b"\n") == 1
    assert json.loads((out / "1_Pooling" / "config.json").read_text())
    done = run(OPEN, out, folder=tmp_path)
    reader = T.AutoTokenizer.from_pretrained(encoder)
    with torch.inference_mode():
        said = outcome.model(**reader("a b c", return_tensors="pt")).last_hidden_state
    assert torch.equal(torch.tensor(json.loads(done.stdout)), said)
    assert open_checkpoint(out).architecture == "BertModel"
    assert not (tmp_path / "out.search").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_a_plain_checkpoint_opens_without_heedful(save, sizes, lines, tmp_path):
    own = {**sizes, "hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2}
    folder = save("Qwen3ForCausalLM", T.Qwen3Config(**own, head_dim=6))
    out, settings = tmp_path / "out", replace(QUICK, loadable="transformers")
    outcome = optimize_checkpoint(
        folder, CheckpointData(path=lines), lose="loss 50%", output=out, settings=settings
    )
    assert not is_model(out)
    report = json.loads((out / "report.json").read_text())
    assert (report["accepted"], report["loadable"]) == (True, "transformers")
    left = {site["after"] for site in report["sites"]} - {"dropped with its layer"}
    assert len(left) == 1
    assert all(site["after"] != site["before"] for site in report["sites"])
    hidden = OPEN.replace("import json, sys, torch, transformers, heedful", HIDDEN)
    hidden = hidden.replace("heedful.load", "transformers.AutoModelForCausalLM.from_pretrained")
    hidden = hidden.replace("last_hidden_state", "logits")
    done = run(hidden, out, folder=tmp_path)
    reader = T.AutoTokenizer.from_pretrained(out)
    with torch.inference_mode():
        said = outcome.model(**reader("a b c", return_tensors="pt")).logits
    assert torch.equal(torch.tensor(json.loads(done.stdout)), said)


@pytest.mark.usefixtures("faster")
def test_an_encoder_opens_without_heedful_with_fewer_layers(encoder, lines, tmp_path):
    out, settings = tmp_path / "out", replace(QUICK, loadable="transformers")
    outcome = optimize_checkpoint(
        encoder, CheckpointData(path=lines), lose="cosine 0.9", output=out, settings=settings
    )
    report = json.loads((out / "report.json").read_text())
    assert report["transformers"]["cannot_say"] is None
    assert [each["step"] for each in report["steps"]] == ["1 layer fewer"]
    hidden = OPEN.replace("import json, sys, torch, transformers, heedful", HIDDEN)
    hidden = hidden.replace("heedful.load", "transformers.AutoModel.from_pretrained")
    done = run(hidden, out, folder=tmp_path)
    reader = T.AutoTokenizer.from_pretrained(out)
    with torch.inference_mode():
        said = outcome.model(**reader("a b c", return_tensors="pt")).last_hidden_state
    assert torch.equal(torch.tensor(json.loads(done.stdout)), said)
    assert json.loads((out / "config.json").read_text())["num_hidden_layers"] == 1


def test_a_class_without_words_is_refused_before_the_search(save, sizes, lines, tmp_path):
    encoder = save("BertModel", T.BertConfig(**{**sizes, "num_hidden_layers": 1}))
    settings = replace(QUICK, loadable="transformers")
    with pytest.raises(UnsupportedError, match=r"words of its own config, got .*BertModel can say"):
        optimize_checkpoint(
            encoder, CheckpointData(path=lines), lose="cosine 0.9", output=tmp_path / "out",
            settings=settings,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_budget_that_nothing_keeps_leaves_a_report(encoder, lines, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(BudgetError):
        optimize_checkpoint(
            encoder, CheckpointData(path=lines), lose="cosine 1e-9", output=out, settings=QUICK
        )
    assert [path.name for path in out.iterdir()] == ["report.json"]


def test_a_metric_must_be_one_of_the_head(encoder, lines, tmp_path):
    with pytest.raises(ConfigError, match=r'metric must be "cosine", got "chrf"'):
        optimize_checkpoint(
            encoder,
            CheckpointData(path=lines),
            lose="chrf 1",
            output=tmp_path / "o",
            settings=QUICK,
        )
