"""Attention as timm and torchvision write it, changed: it computes what silence leaves of it."""

import copy
import sys
import types

import pytest
import torch

from heedful.allocation.adapters import StructuralAdapter
from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import DropSite, KeepHeads, QueryKeyRank, ShareKeyValue, ValueRank
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.allocation.stored import load_model, save_model
from heedful.errors import UnsupportedError
from heedful.testing.tolerance import assert_close

from .structure.vision import DIM, HEADS, KINDS, WIDTH, draw, make

OUT = {"einsum": "merge", "time_first": "o", "many_in_one": "o", "levit": "proj.1.linear"}
CHANNELS = {"cross_covariance", "channels"}  # components look at each other
# take a width from what comes in
TELL = {"fused", "beit", "swin", "eva", "nest", "twins", "shifted", *CHANNELS}


@pytest.fixture(autouse=True)
def _timm_is_there(monkeypatch):
    for name in ("timm", "torchvision"):
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


def silenced(name, kept):
    """The same with heads whose columns of the output projection are 0."""
    model = make(name)
    weight = model.attn.get_submodule(OUT.get(name, "proj")).weight.data
    heads_last = name == "nest"
    columns = weight.unflatten(1, (DIM, HEADS) if heads_last else (HEADS, -1))
    for head in set(range(HEADS)) - set(kept):
        columns.select(2 if heads_last else 1, head).zero_()
    return model


def same(actual, want):
    assert_close(actual, want, roundings=800, largest=max(1.0, float(want.abs().max())))


def keep(*heads):
    return Plan(moves={"attn": (KeepHeads(heads=heads),)})


@pytest.mark.parametrize("kept", [(2,), (0, 2)])
@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_fewer_heads_compute_what_the_others_leave(name, kept):
    model, given = make(name), KINDS[name][2]
    before = copy.deepcopy(model.state_dict())
    (site,), refused = find_sites(model)
    assert isinstance(site.adapter, StructuralAdapter)
    assert refused == {}
    changed, want = keep(*kept).apply(model), silenced(name, kept)(*given)
    same(changed(*given), want)
    assert float((want - model(*given)).abs().max()) > 1e-3
    assert all(torch.equal(x, before[key]) for key, x in model.state_dict().items())
    assert type(changed.attn).__name__ == type(model.attn).__name__
    assert hasattr(changed.attn, "heedful_width") == (name in TELL)
    assert not hasattr(model.attn, "heedful_width")


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_twice_changed_is_changed_once(name):
    given = KINDS[name][2]
    twice = keep(1).apply(keep(0, 2).apply(make(name)))
    same(twice(*given), silenced(name, (2,))(*given))


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_what_was_saved_gives_the_same(name, tmp_path):
    plan, given = keep(0, 2), KINDS[name][2]
    changed = plan.apply(make(name))
    save_model(tmp_path / "saved", changed, plan)
    again = load_model(tmp_path / "saved", into=make(name))
    assert torch.equal(again(*given), changed(*given))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "pointwise"])
@torch.no_grad()
def test_a_dropped_site_gives_what_silence_gives(name):
    given = KINDS[name][2]
    dropped = Plan(moves={"attn": (DropSite(),)}).apply(make(name))
    same(dropped(*given), silenced(name, ())(*given))


def test_images_with_components_first_are_not_dropped():
    with pytest.raises(UnsupportedError, match="what it does besides attention would go with"):
        Plan(moves={"attn": (DropSite(),)}).apply(make("pointwise"))


@torch.no_grad()
def test_biases_beside_a_layer_are_read_and_cut():
    model = make("beit")
    (site,) = find_sites(model)[0]
    assert torch.equal(site.read(model).query_bias.flatten(), model.attn.q_bias)
    assert torch.equal(site.read(model).value_bias.flatten(), model.attn.v_bias)
    changed = keep(1).apply(model).attn
    assert torch.equal(changed.q_bias, model.attn.q_bias[DIM : 2 * DIM])
    assert (changed.k_bias.shape, changed.table.shape) == ((DIM,), (7, 1))
    assert isinstance(changed.v_bias, torch.nn.Parameter)
    assert changed.qkv.bias is None


@torch.no_grad()
def test_biases_that_the_model_makes_for_all_heads_are_cut_as_they_come():
    given = (*KINDS["beit"][2], torch.randn(1, HEADS, 4, 4, dtype=torch.float64))
    same(keep(0, 2).apply(make("beit"))(*given), silenced("beit", (0, 2))(*given))


@pytest.mark.parametrize("name", ["eva", "swin", *sorted(CHANNELS)])
def test_what_stands_behind_queries_keeps_their_basis(name):
    model = make(name)
    (site,) = find_sites(model)[0]
    assert site.read(model).normed
    with pytest.raises(UnsupportedError, match="got norms behind the projections"):
        Plan(moves={"attn": (QueryKeyRank(rank=2),)}).apply(model)


@torch.no_grad()
def test_equal_keys_are_shared_where_the_forward_takes_it():
    model = make("time_first")
    (site,) = find_sites(model)[0]
    reason = site.why_not(model, _shared(site.read(model)))
    assert reason == f"its forward cannot take {HEADS} on 1 x {DIM}"
    with pytest.raises(UnsupportedError, match="cannot take"):
        Plan(moves={"attn": (ShareKeyValue(kv_heads=1),)}).apply(model)


def _shared(read):
    biases = {f"{x}_bias": getattr(read, f"{x}_bias") for x in ("key", "value")}
    biases = {name: None if x is None else x[:1] for name, x in biases.items()}
    return read.with_(key=read.key[:1], value=read.value[:1], **biases)


def test_what_was_mixed_is_heard():
    model = make("fused")
    sites = find_sites(model)[0]
    open_ = unfused(model, sites)
    moments = collect_moments(open_, sites, [lambda: open_(KINDS["fused"][2][0])])
    assert moments["attn"].mixed.shape == (WIDTH + 1, WIDTH + 1)


@torch.no_grad()
def test_what_was_mixed_is_heard_head_by_head():
    model, given = make("nest"), KINDS["nest"][2]
    (site,) = find_sites(model)[0]
    points, gates = site.adapter.hook_points(model.attn), torch.tensor([1.0, 0.0, 1.0])

    def gated(_, args):
        return ((args[0].unflatten(-1, (HEADS, DIM)) * gates[:, None]).flatten(-2),)

    handle = points.out.register_forward_pre_hook(gated)
    same(model(*given), silenced("nest", (0, 2))(*given))
    handle.remove()
    same(model(*given), make("nest")(*given))


@pytest.mark.parametrize("name", ["beit", "pointwise"])
def test_moments_of_layers_that_never_run_and_of_images(name):
    model, given = make(name), KINDS[name][2]
    sites = find_sites(model)[0]
    found = collect_moments(model, sites, [lambda: model(*given)])["attn"]
    x = given[0].movedim(1, -1) if name == "pointwise" else given[0]
    x = torch.nn.functional.pad(x.flatten(0, -2), (0, 1), value=1.0)
    torch.testing.assert_close(found.query, x.T @ x, rtol=1e-4, atol=1e-4)
    assert found.self_attention
    assert len(found.mixed) == HEADS * (DIM if name == "beit" else 5) + 1


@torch.no_grad()
def test_norms_behind_layers_become_part_of_them():
    model = make("levit")
    (site,) = find_sites(model)[0]
    changed = keep(0, 1, 2).apply(model).attn
    assert isinstance(changed.qkv.bn, torch.nn.Identity)
    x = draw(5, 10, seed=9)
    norm = model.attn.qkv.bn
    want = norm(model.attn.qkv.linear(x))
    assert_close(changed.qkv.linear(x), want, roundings=50, largest=1.0)
    read = site.read(model)
    got = torch.einsum("hdw,lw->lhd", read.query, x) + read.query_bias
    rows = want.unflatten(1, (HEADS, -1))[..., :DIM]
    assert_close(got, rows, roundings=50, largest=1.0)
    assert isinstance(model.attn.qkv.bn, torch.nn.BatchNorm1d)


@pytest.mark.parametrize("move", [ValueRank(rank=2), ShareKeyValue(kv_heads=1)])
def test_an_activation_behind_the_heads_keeps_the_basis_of_values(move):
    model = make("levit")
    (site,) = find_sites(model)[0]
    assert site.read(model).activated
    assert not find_sites(make("fused"))[0][0].read(make("fused")).activated
    with pytest.raises(UnsupportedError, match="as it is, got a function between"):
        Plan(moves={"attn": (move,)}).apply(model)


@pytest.mark.parametrize("name", sorted(CHANNELS))
def test_values_of_channels_keep_their_basis(name):
    model = make(name)
    assert find_sites(model)[0][0].read(model).activated
    with pytest.raises(UnsupportedError, match="as it is, got a function between"):
        Plan(moves={"attn": (ValueRank(rank=2),)}).apply(model)


@torch.no_grad()
def test_moments_of_a_function_that_is_given_weights():
    model, given = make("shifted"), KINDS["shifted"][2]
    sites = find_sites(model)[0]
    open_ = unfused(model, sites)
    found = collect_moments(open_, sites, [lambda: open_(*given)])["attn"]
    x = torch.nn.functional.pad(given[0].flatten(0, -2), (0, 1), value=1.0)
    want = x.T @ x
    want[-1, -1] = found.query[-1, -1]  # of padding, all that is not 0
    torch.testing.assert_close(found.query, want, rtol=1e-4, atol=1e-4)
    assert found.self_attention
    assert len(found.mixed) == WIDTH + 1


def test_nothing_is_looked_at_where_no_such_library_is_loaded(monkeypatch):
    for name in ("timm", "torchvision", "transformers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert find_sites(make("fused"))[0] == []
