"""Projections of few bits: everywhere, through other moves, through a plan."""

import pytest
import torch
from torch import nn

from heedful.allocation.moves import DropSite, KeepHeads, LowPrecision, Recurrence, ShareKeyValue
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.nn.low_precision import LowPrecisionLinear

KINDS = ("bf16", "int8")


def layers(model):
    return [part for part in model.modules() if isinstance(part, LowPrecisionLinear)]


def geometry(model):
    (site,), _ = find_sites(model)
    return str(site.read(model).geometry)


def near(actual, want, *, share=0.05):
    assert 0 < (actual - want).norm() / want.norm() < share


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_is_the_same_site_but_for_its_rounding(make_site, draw, move_site, kind):
    model, x = make_site(), draw(2, 9)
    new = move_site(model, LowPrecision(precision=kind))
    assert len(layers(new)) == 4
    assert geometry(new) == f"4 on 2 x 4, {kind}"
    named = dict(model.named_parameters())
    assert all(torch.equal(tensor, named[name]) for name, tensor in new.named_parameters())
    near(new(x), model(x))
    assert torch.equal(unfused(new)(x), new(x))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_stays_through_what_follows_and_through_a_plan(make_site, draw, move_site, rebuild, kind):
    model, x = make_site(), draw(2, 9)
    moves = (LowPrecision(precision=kind), KeepHeads(heads=(0, 2)), ShareKeyValue(kv_heads=1))
    new = move_site(model, *moves)
    assert geometry(new) == f"2 on 1 x 4, {kind}"
    again = rebuild(new, model, *moves)
    assert torch.equal(again(x), new(x))
    recurrent = move_site(new, Recurrence())
    assert geometry(recurrent) == f"1 x 4, gated_recurrence, {kind}"
    assert len(layers(recurrent)) == 2
    assert not layers(move_site(new, DropSite()))
    near(move_site(new, LowPrecision(precision="int8"))(x), new(x)) if kind == "bf16" else None


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_torch(kind):
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2).eval(), torch.randn(3, 7, 32)
    names = [site.name for site in find_sites(model)[0]]
    plan = Plan(moves=dict.fromkeys(names, (LowPrecision(precision=kind),)))
    new = plan.apply(model)
    assert len(layers(new)) == 8
    near(new(x), model(x))


@torch.no_grad()
def test_models_of_transformers():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    sizes = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 4, "vocab_size": 20}
    config = transformers.BertConfig(**sizes, intermediate_size=32)
    model, ids = transformers.BertModel(config).eval(), torch.arange(10)[None]
    plan = Plan(moves={"encoder.layer.0.attention": ()})
    (site,), _ = find_sites(model)
    plan = Plan(moves={site.name: (LowPrecision(precision="int8"),)})
    new = plan.apply(model)
    near(new(ids)[0], model(ids)[0])
    one = Plan(moves={site.name: (KeepHeads(heads=(1,)),)})
    near(one.apply(new)(ids)[0], one.apply(model)(ids)[0])
    config = transformers.GPT2Config(
        n_embd=32, n_head=4, n_layer=1, vocab_size=20, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2Model(config)
    (site,), _ = find_sites(model)
    message = "a GPT2Attention has no nn.Linear to multiply in few bits"
    with pytest.raises(UnsupportedError, match=message):
        Plan(moves={site.name: (LowPrecision(precision="int8"),)}).apply(model)


def test_says_why_it_cannot(make_site, move_site):
    message = "precision must be one of bf16, int8, got 'int4'"
    with pytest.raises(ConfigError, match=message):
        LowPrecision(precision="int4")
    with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
        move_site(make_site(), DropSite(), LowPrecision(precision="int8"))
