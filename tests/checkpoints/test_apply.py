"""A plan written by hand, made on a checkpoint: the folder opens, and its heads are gone."""

import pytest

import heedful
from heedful.checkpoints.apply import apply_to_checkpoint
from heedful.checkpoints.examples import CheckpointData
from heedful.errors import ConfigError, RunError
from heedful.optimizing.planned import PlanSteps

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers")

PLAN = """version = 1

[[site]]
name = "encoder.layer.1.attention"
was = "3 x 4"

[[site.move]]
move = "keep_heads"
heads = [0, 2]
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_heads_go_and_the_folder_opens(encoder, lines, plan, tmp_path):
    out, events = tmp_path / "out", []
    model = apply_to_checkpoint(
        plan,
        encoder,
        CheckpointData(path=lines),
        output=out,
        steps=PlanSteps(distil=1, finetune=1),
        on_event=events.append,
    )
    again = heedful.load(out)
    reader = T.AutoTokenizer.from_pretrained(out)
    with torch.inference_mode():
        said = [each(**reader("a b c", return_tensors="pt"))[0] for each in (model, again)]
    assert torch.equal(*said)
    assert again.encoder.layer[1].attention.self.query.weight.shape == (8, 12)
    assert events[0].text == "reading the checkpoint and the examples"
    with pytest.raises(
        ConfigError, match=r"a plan must be applied to a checkpoint as it was, got "
    ):
        apply_to_checkpoint(plan, out, CheckpointData(path=lines), output=tmp_path / "third")


def test_what_cannot_be_is_said_before_the_data_is_read(encoder, plan, tmp_path):
    nowhere = CheckpointData(path=tmp_path / "none.txt")
    plan.write_text(PLAN.replace("layer.1", "layer.7"))
    with pytest.raises(ConfigError, match=r"layer\.7"):
        apply_to_checkpoint(plan, encoder, nowhere, output=tmp_path / "out")
    with pytest.raises(RunError, match=r"output must be a new or an empty folder"):
        apply_to_checkpoint(plan, encoder, nowhere, output=encoder)
    assert not (tmp_path / "out").exists()


SHARED = PLAN.replace(
    "encoder.layer.1.attention", "encoder.albert_layer_groups.0.albert_layers.0.attention"
)


def test_a_layer_that_runs_in_every_depth_is_changed_in_all(save, sizes, lines, tmp_path):
    settings = sizes | {"embedding_size": 8, "num_hidden_groups": 1}
    albert, out = save("AlbertModel", T.AlbertConfig(**settings)), tmp_path / "out"
    path = tmp_path / "shared.toml"
    path.write_text(SHARED)
    model = apply_to_checkpoint(path, albert, CheckpointData(path=lines), output=out)
    again = heedful.load(out)
    original, reader = T.AlbertModel.from_pretrained(albert), T.AutoTokenizer.from_pretrained(out)
    given = reader(["a b c d", "e f"], padding=True, return_tensors="pt")
    attention = original.encoder.albert_layer_groups[0].albert_layers[0].attention
    with torch.inference_mode():
        said = [each(**given).last_hidden_state for each in (model, again)]
        want = original(**given).last_hidden_state
        attention.dense.weight[:, 4:8] = 0
        silent = original(**given).last_hidden_state
    assert torch.equal(*said)
    assert 0 < (said[0] - want).norm() < (silent - want).norm()  # least squares stand in
    assert again.encoder.albert_layer_groups[0].albert_layers[0].attention.query.out_features == 8
    assert model.config.num_hidden_layers == 2
