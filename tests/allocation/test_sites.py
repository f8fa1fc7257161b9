"""Sites are found once, by name, with a reason for each that cannot be changed."""

import copy
import re

import pytest
import torch
from torch import nn

from heedful.allocation.adapters import HeedfulAdapter, TorchAdapter
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import Site, find_sites, replace_module
from heedful.errors import UnsupportedError
from heedful.nn import Attention, RelativePositions
from heedful.nn.constant import Constant
from heedful.nn.mechanisms import MECHANISMS

WIDTH = 12


class StrangeAttention(nn.Module):
    """Attention of which nobody knows anything."""

    def __init__(self):
        super().__init__()
        self.inner = Attention(width=WIDTH, heads=3)


class PlainStrangeAttention(nn.Module):
    """The same, and it holds nothing."""


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.second = nn.MultiheadAttention(WIDTH, 2)
        self.first = nn.ModuleDict({"own": Attention(width=WIDTH, heads=4)})
        self.again = self.first.own
        self.holder = StrangeAttention()
        self.strange = PlainStrangeAttention()
        self.learned = Attention(
            width=WIDTH, heads=4, mechanism=MECHANISMS["entmax"](heads=4, dim=3)
        )
        self.gone = Constant(WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)


def test_sites_come_in_order_and_others_with_a_reason():
    sites, unknown = find_sites(Model())
    assert sites == [
        Site("second", sites[0].adapter),
        Site("first.own", sites[1].adapter),
        Site("holder.inner", sites[2].adapter),
    ]
    kinds = [type(site.adapter) for site in sites]
    assert kinds == [TorchAdapter, HeedfulAdapter, HeedfulAdapter]
    assert unknown == {  # what only holds a site is none
        "strange": "PlainStrangeAttention is attention that no adapter knows",
        "learned": "Entmax has parameters that belong to its heads",
        "gone": "it was dropped already",
    }


def test_a_model_that_is_a_site_cannot_be_changed():
    message = "a model must hold its attention, got Attention alone; put it into another module"
    with pytest.raises(UnsupportedError, match=message):
        find_sites(Attention(width=WIDTH, heads=3))


@torch.no_grad()
def test_a_module_that_is_used_twice_is_one_site_and_changes_everywhere():
    model = Model()
    (site,) = (site for site in find_sites(model)[0] if site.name == "first.own")
    new = copy.deepcopy(model)
    site.write(new, KeepHeads(heads=(1, 3)).edit(site.read(model), None))
    assert new.first["own"] is new.again
    assert new.again.heads == 2
    assert site.of(new) is new.again
    assert str(site.read(new).geometry) == "2 x 3"
    assert str(site.read(model).geometry) == "4 x 3"
    site.write(new, DropSite().edit(site.read(new), None))
    assert new.first["own"] is new.again
    assert isinstance(new.again, Constant)


def test_a_module_is_replaced_under_every_name():
    model = nn.ModuleDict({"a": nn.Linear(1, 2), "b": nn.ModuleList([nn.Linear(1, 2)])})
    model["b"].append(model["a"])
    other, old, new = model["b"][0], model["a"], nn.Linear(3, 4)
    replace_module(model, old, old)
    assert model["a"] is model["b"][1] is old
    replace_module(model, old, new)
    assert model["a"] is model["b"][1] is new
    assert model["b"][0] is other


@pytest.mark.parametrize(
    "settings, reason",
    [
        (
            {"positions": RelativePositions(4)},
            "its positions add to the scores, which no mechanism takes",
        ),
        ({"dropout": 0.25}, "its dropout is 0.25, and no mechanism drops weights"),
    ],
)
def test_what_an_adapter_refuses_is_said_with_the_name(settings, reason):
    model = nn.ModuleDict({"own": Attention(width=WIDTH, heads=4, **settings)})
    before = model["own"]
    (site,) = find_sites(model)[0]
    window = site.read(model).with_(mixing=Mixing(name="window"))
    message = f"own cannot become 4 x 3, window, {reason}"
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        site.write(model, window)
    assert model["own"] is before
