"""A saved model comes back as it was, from its plan and a fresh original."""

import copy
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from heedful.allocation.moves import DropSite, KeepHeads, QueryKeyRank, Window
from heedful.allocation.plan import Plan
from heedful.allocation.saved_files import is_model
from heedful.allocation.stored import describe, load_model, save_model
from heedful.errors import ConfigError, MissingExtraError, RunError
from heedful.kernels.transformers import register
from heedful.manifest import MANIFEST
from heedful.nn import Attention
from heedful.nn.positions import RotaryPositions


class Model(nn.Module):
    def __init__(self, heads=4):
        super().__init__()
        self.first = Attention(width=16, heads=heads, positions=RotaryPositions(16 // heads))
        self.second = Attention(width=16, heads=heads)
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        return self.norm(x + self.second(self.first(x)))


PLANS = [
    Plan(),
    Plan(moves={"first": (KeepHeads(heads=(0, 3)),), "second": (DropSite(),)}),
    Plan(moves={"first": (Window(window=2),), "second": (QueryKeyRank(rank=2),)}),
]


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("plan", PLANS)
def test_comes_back_from_a_fresh_original(tmp_path, plan):
    model = plan.apply(Model()).eval()
    save_model(tmp_path / "out", model, plan, report={"字": 1})
    assert is_model(tmp_path / "out")
    fresh = Model().train()
    before = copy.deepcopy(fresh.state_dict())
    again = load_model(tmp_path / "out", into=fresh)
    assert torch.equal(again(draw(2, 5, 16)), model(draw(2, 5, 16)))
    assert not again.training
    assert fresh.training
    assert all(torch.equal(x, before[name]) for name, x in fresh.state_dict().items())
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == {"字": 1}


def test_without_a_report_none_is_written(tmp_path):
    save_model(tmp_path, Model(), Plan())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model.safetensors", "plan.toml", "model.json", "manifest.json"}


def test_what_a_kill_left_of_saving_is_in_nobodys_way(tmp_path):
    (tmp_path / ".start.9.tmp").mkdir()
    (tmp_path / ".start.9.tmp" / "plan.toml").write_text("half")
    save_model(tmp_path, Model(), Plan())
    assert {path.name for path in tmp_path.iterdir()} == {
        *("model.safetensors", "plan.toml", "model.json", "manifest.json")
    }


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "x").write_text("all I have")
    for folder in (tmp_path, tmp_path / "x"):
        with pytest.raises(RunError, match="output must be a new or an empty folder, got"):
            save_model(folder, Model(), Plan())
    assert (tmp_path / "x").read_text() == "all I have"


def test_code_is_never_taken_from_the_folder(tmp_path):
    save_model(tmp_path / "out", Model(), Plan())
    about = json.loads((tmp_path / "out" / "model.json").read_bytes())
    assert about == {"format": 1, "class": "Model", "module": Model.__module__}
    with pytest.raises(ConfigError, match="load must get `into`, a fresh Model as it was before"):
        load_model(tmp_path / "out")


def test_another_original_is_refused(tmp_path):
    plan = Plan(moves={"first": (KeepHeads(heads=(0,)),)}, was={"first": "4 x 4"})
    save_model(tmp_path / "out", plan.apply(Model()), plan)
    with pytest.raises(ConfigError, match="plan must fit the model, got first as 2 x 8, not 4 x 4"):
        load_model(tmp_path / "out", into=Model(heads=2))
    other = Model()
    other.norm = nn.LayerNorm(16, bias=False)
    with pytest.raises(RunError, match="must fit the model, got"):
        load_model(tmp_path / "out", into=other)


def save_about(folder, about):
    save_model(folder, Model(), Plan())
    (folder / "model.json").write_text(json.dumps(about))
    (folder / MANIFEST).unlink()  # as an older folder, or one that is hostile


@pytest.mark.parametrize("about", [[], {}, {"format": 2}, "x"])
def test_another_format_is_refused(tmp_path, about):
    save_about(tmp_path / "out", about)
    with pytest.raises(RunError, match=re.escape("model.json must have format 1, got")):
        load_model(tmp_path / "out", into=Model())


@pytest.mark.parametrize(
    "name, message",
    [
        ("plan.toml", "must hold plan.toml, got none"),
        ("model.safetensors", "must hold model.safetensors, got none"),
        ("model.json", "must hold model.json, got none"),
    ],
)
def test_a_missing_file_is_named(tmp_path, name, message):
    save_model(tmp_path / "out", Model(), Plan())
    (tmp_path / "out" / name).unlink()
    with pytest.raises((RunError, ConfigError), match=message):
        load_model(tmp_path / "out", into=Model())


@pytest.mark.parametrize("name", ["plan.toml", "model.safetensors", "model.json"])
@pytest.mark.parametrize("at", [0, 0.5, 1])
def test_one_bit_turned_over_is_noticed(tmp_path, name, at):
    save_model(tmp_path / "out", Model(), PLANS[1])
    path = tmp_path / "out" / name
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=f"{name} must be as it was written, got something else"):
        load_model(tmp_path / "out", into=Model())


def test_a_folder_from_before_there_were_manifests_opens(tmp_path):
    save_model(tmp_path / "out", model := Model(), Plan())
    (tmp_path / "out" / MANIFEST).unlink()
    x = draw(2, 5, 16)
    assert torch.equal(load_model(tmp_path / "out", into=Model())(x), model.eval()(x))


def test_may_be_written_where_one_stands_and_through_a_link(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    save_model(Path("."), Model(), Plan())
    assert load_model(tmp_path / "link", into=Model())
    for path in (tmp_path / "here").iterdir():
        path.unlink()
    save_model(tmp_path / "link", Model(), Plan())
    assert load_model(tmp_path / "here", into=Model())


def test_a_plan_that_needs_more_memory_than_there_is_is_an_error(tmp_path, monkeypatch):
    save_model(tmp_path / "out", Model(), Plan())
    for error in (MemoryError(), RuntimeError("can't allocate\nmemory"), IndexError("row 9")):

        def apply(*_, error=error):
            raise error

        monkeypatch.setattr(Plan, "apply", apply)
        said = {"RuntimeError": "can't allocate memory", "IndexError": "row 9"}
        got = said.get(type(error).__name__, "MemoryError")
        with pytest.raises(RunError, match=rf"plan\.toml must fit the model, got: {got}"):
            load_model(tmp_path / "out", into=Model())


# ---- models of transformers ----------------------------------------------------------------------

BERT = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}


@pytest.fixture
def bert():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(**BERT, attn_implementation="eager")
    return transformers.BertForSequenceClassification(config).eval()


def test_models_of_transformers_bring_their_config_along(tmp_path, bert):
    plan = Plan(moves={"bert.encoder.layer.0.attention": (KeepHeads(heads=(1, 2)),)})
    model = plan.apply(bert).eval()
    save_model(tmp_path / "out", model, plan)
    again = load_model(tmp_path / "out")
    tokens = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again(tokens).logits, model(tokens).logits)
    assert describe(bert)["attention"] == again.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"class": "AutoModel"}, "must name a model of transformers, got 'AutoModel'"),
        ({"class": "no_such"}, "must name a model of transformers, got 'no_such'"),
        ({"class": "set_seed"}, "must name a model of transformers, got 'set_seed'"),
        ({"class": None}, "must name a model of transformers, got 'None'"),
        ({"config": None}, "must hold a config, got None"),
        ({"class": "PreTrainedModel"}, "must hold a config of PreTrainedModel, got: "),
        ({"config": {"hidden_size": "wide"}}, "must hold a config of BertForS.*, got: "),
        ({"config": {"hidden_size": 2**60}}, "must hold a config of BertForS.*, got: "),
        ({"config": {"num_hidden_layers": 10**7}}, "must have at most 10000 layers, got num_h"),
        ({"attention": "kernels-community/flash-attn"}, "must name an attention of eager, sdpa,"),
        ({"attention": "someone/code@main:function"}, "must name an attention of eager, sdpa,"),
        ({"attention": {"": "someone/code"}}, "must name an attention of eager, sdpa,"),
        ({"attention": ["eager"]}, "must name an attention of eager, sdpa,"),
    ],
)
def test_only_models_of_transformers_are_built_by_name(tmp_path, bert, change, message):
    save_about(tmp_path / "out", describe(bert) | change)
    with pytest.raises(RunError, match=message):
        load_model(tmp_path / "out")


def test_names_of_code_inside_the_config_are_left_out(tmp_path, bert):
    """What transformers would otherwise look for on a hub, and run."""
    about = describe(bert)
    about["config"] |= {
        "attn_implementation": "someone/code",
        "_attn_implementation": "someone/code",
        "experts_implementation": "someone/code",
        "auto_map": {"AutoModel": "someone/code--model.Model"},
    }
    save_model(tmp_path / "out", bert, Plan())
    (tmp_path / "out" / MANIFEST).unlink()
    (tmp_path / "out" / "model.json").write_text(json.dumps(about | {"attention": "sdpa"}))
    again = load_model(tmp_path / "out")
    assert again.config._attn_implementation == "sdpa"
    assert not hasattr(again.config, "auto_map")


def test_a_model_with_our_attention_opens_where_nobody_registered_it(tmp_path, bert, monkeypatch):
    register()
    bert.set_attn_implementation("heedful")
    save_model(tmp_path / "out", bert, Plan())
    from transformers import AttentionInterface, AttentionMaskInterface

    for names in (AttentionInterface, AttentionMaskInterface):  # as in a new process
        monkeypatch.delitem(names._global_mapping, "heedful")
    again = load_model(tmp_path / "out")
    assert again.config._attn_implementation == "heedful"
    with torch.no_grad():
        tokens = torch.arange(7)[None]
        assert torch.equal(again(tokens).logits, bert(tokens).logits)


def test_a_model_with_our_attention_on_masks_of_numbers_opens_too(tmp_path):
    from transformers import NllbMoeConfig, NllbMoeModel

    register()
    sizes = {"d_model": 16, "vocab_size": 50, "num_experts": 2}
    for part in ("encoder", "decoder"):
        sizes |= {f"{part}_layers": 1, f"{part}_attention_heads": 2, f"{part}_ffn_dim": 16}
    model = NllbMoeModel(NllbMoeConfig(**sizes)).eval()
    model.set_attn_implementation("heedful")
    save_model(tmp_path / "out", model, Plan())
    again = load_model(tmp_path / "out")
    assert again.config._attn_implementation == model.config._attn_implementation != "eager"
    with torch.no_grad():
        tokens = {name: torch.arange(7)[None] for name in ("input_ids", "decoder_input_ids")}
        assert torch.equal(again(**tokens)[0], model(**tokens)[0])


def test_a_damaged_description_is_an_error(tmp_path):
    save_about(tmp_path / "out", {"format": 1})
    with pytest.raises(ConfigError, match="load must get `into`"):
        load_model(tmp_path / "out")


def test_without_transformers_its_models_cannot_be_built(tmp_path, monkeypatch):
    about = {"format": 1, "class": "Bert", "module": "transformers.models.bert", "config": {}}
    save_about(tmp_path / "out", about)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'heedful[hf]'")):
        load_model(tmp_path / "out")


def test_numbers_without_a_word_in_json_come_back(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, longest=[0.0, float("inf")],
    )  # fmt: skip
    model = transformers.LlamaModel(config)
    site = "layers.0.self_attn"
    plan = Plan(moves={site: (KeepHeads(heads=(1,)),)})
    save_model(tmp_path / "run", plan.apply(model), plan)
    assert load_model(tmp_path / "run").config.longest == [0.0, float("inf")]
