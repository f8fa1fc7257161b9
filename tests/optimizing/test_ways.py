"""Ways to run a site: what is left out, what is fitted, and what healing is thought to leave."""

import math

import pytest
import torch

from heedful.allocation.moves import Recurrence
from heedful.allocation.plan import Plan, separated
from heedful.allocation.sites import find_sites
from heedful.mask import Mask
from heedful.optimizing.operations import watch
from heedful.optimizing.subject import Reference
from heedful.optimizing.ways import find_ways, lasting


def causal(kit):
    class Causal(kit.Tiny):
        def forward(self, tokens):
            x = self.embed(tokens)
            for site in self.own:
                x = x + site(x, mask=Mask.causal())
            return self.head(x.mean(1))

    return Causal


def ways_of(kit, kind):
    torch.manual_seed(1)
    subject = kit.subject(kind())
    model = separated(subject.model)
    sites = find_sites(model)[0]
    visits = watch(model, sites, subject.runs(model))
    return find_ways(model, sites, subject, visits, seed=0), subject


def test_a_recurrence_makes_dropping_needless(kit):
    for kind, there, gone in (
        (causal(kit), "recurrence", "dropped"),
        (kit.Tiny, "dropped", "recurrence"),
    ):
        labels = [way.label for way in ways_of(kit, kind)[0].of["own.0"]]
        assert there in labels
        assert gone not in labels


def test_a_recurrence_is_fitted_to_what_the_site_gave(kit):
    ways, subject = ways_of(kit, causal(kit))
    way = next(way for way in ways.of["own.0"] if way.label == "recurrence")
    assert way.fitted
    assert not any(way.fitted for way in ways.of["own.0"] if way.projections.gate is None)
    reference = Reference(subject)
    plain = Plan(moves={"own.0": (Recurrence(),)}).apply(ways.model)
    assert reference.damage(ways.build({"own.0": way.moves})) < reference.damage(plain)


@pytest.mark.parametrize("damage, left", [(-1.0, 0.0), (0.0, 0.0), (0.25, 0.5), (4.0, 2.0)])
def test_healing_leaves_the_root(damage, left):
    assert math.isclose(lasting(damage), left)
