"""Whole layers left out in a search: which go first, how far, and what comes out."""

import pytest

from heedful.allocation.plan import unfused
from heedful.allocation.stored import load_model
from heedful.optimizing import fewer_layers
from heedful.optimizing.fewer_layers import droppable
from heedful.optimizing.of_model import ModelSpec
from heedful.optimizing.optimize import optimize
from heedful.optimizing.optimize_data import OptimizeData
from heedful.optimizing.settings import OptimizeSettings

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIZES = {
    "vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 6, "num_attention_heads": 4,
    "intermediate_size": 20, "max_position_embeddings": 64, "pad_token_id": 0,
    "initializer_range": 0.3,
}  # fmt: skip
IDLE = (1, 2, 4)  # layers that hardly do anything


def llama(layers=6):
    torch.manual_seed(0)
    model = T.LlamaModel(T.LlamaConfig(**{**SIZES, "num_hidden_layers": layers})).eval()
    for number in (number for number in IDLE if number < layers):
        for part in (model.layers[number].self_attn.o_proj, model.layers[number].mlp.down_proj):
            part.weight.data *= 1e-4 * (number + 1)
    return model


def splits_of(seed):
    draw = torch.Generator().manual_seed(seed)
    return [{"input_ids": torch.randint(1, 9, (8, 7), generator=draw)} for _ in range(8)]


def optimised(model, **settings):
    """With time counted by layers, so that nothing depends on a clock."""
    original = model

    def close(changed, split):
        with torch.inference_mode():
            pairs = [(changed(**x)[0], original(**x)[0]) for x in split]
        return torch.cat([torch.cosine_similarity(a, b, dim=-1).mean(-1) for a, b in pairs])

    data = OptimizeData(calibration=splits_of(1)[:2], dev=splits_of(2), test=splits_of(3))
    return optimize(
        model,
        data=data,
        quality=close,
        lose=0.01,
        spec=ModelSpec(outputs="values"),
        settings=OptimizeSettings(
            rounds=1, trials=2, finalist_steps=0, finetune_steps=0, final_steps=0, goal="macs",
            **settings,
        ),
    )  # fmt: skip


def test_layers_that_do_nothing_go(tmp_path):
    outcome = optimised(llama())
    assert outcome.accepted, outcome.reason
    steps = {each["step"]: each for each in outcome.report["steps"]}
    assert list(steps)[:2] == ["1 layer fewer", "2 layers fewer"]
    assert steps["2 layers fewer"]["cost_share"] == pytest.approx(4 / 6, abs=1e-4)
    assert steps["2 layers fewer"]["promising"]
    gone = set(outcome.plan.dropped_layers)
    assert len(gone) == 2
    assert gone < {f"layers.{number}" for number in IDLE}
    after = {site["name"]: site["after"] for site in outcome.report["sites"]}
    assert {after[f"{layer}.self_attn"] for layer in gone} == {"dropped with its layer"}
    operations = outcome.report["attention_operations"]
    assert operations["after"] <= operations["before"] * 4 / 6
    outcome.save(tmp_path / "smaller")
    loaded = load_model(tmp_path / "smaller")
    x = splits_of(4)[0]
    with torch.inference_mode():
        assert torch.equal(loaded(**x)[0], outcome.model(**x)[0])


def test_a_plain_checkpoint_has_fewer_layers(tmp_path):
    outcome = optimised(llama(), loadable="transformers")
    assert outcome.accepted, outcome.reason
    outcome.save(tmp_path / "plain")
    opened = T.LlamaModel.from_pretrained(tmp_path / "plain")
    assert opened.config.num_hidden_layers == 6 - len(outcome.plan.dropped_layers) < 6
    x = splits_of(4)[0]
    with torch.inference_mode():
        assert torch.equal(opened(**x)[0], outcome.model(**x)[0])


def test_what_is_no_faster_is_not_judged(monkeypatch):
    monkeypatch.setattr(fewer_layers, "_share", lambda search, model: 1.0)
    steps = optimised(llama()).report["steps"]
    assert not any("fewer" in each["step"] for each in steps)


def test_which_models_may_lose_layers():
    assert droppable(llama())
    assert droppable(unfused(llama()))
    assert not droppable(llama(1))
    layer = torch.nn.TransformerEncoderLayer(16, 4, 20, batch_first=True)
    assert not droppable(torch.nn.TransformerEncoder(layer, 3, enable_nested_tensor=False))
