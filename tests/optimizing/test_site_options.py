"""Options of a site: what is left out, what is fitted, and what fine-tuning is thought to leave."""

import math

import pytest
import torch

from heedful.allocation.moves import Recurrence
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.mask import Mask
from heedful.optimizing.operations import record_usage
from heedful.optimizing.problem import Reference
from heedful.optimizing.site_options import find_options, residual_divergence


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
    problem = kit.problem(kind())
    model = unfused(problem.model)
    sites = find_sites(model)[0]
    usage = record_usage(model, sites, problem.runs(model))
    return find_options(model, sites, problem, usage, seed=0), problem


def test_a_recurrence_makes_dropping_needless(kit):
    for kind, there, gone in (
        (causal(kit), "recurrence", "dropped"),
        (kit.Tiny, "dropped", "recurrence"),
    ):
        labels = [option.label for option in ways_of(kit, kind)[0].of["own.0"]]
        assert there in labels
        assert gone not in labels


def test_a_recurrence_is_fitted_to_what_the_site_gave(kit):
    options, problem = ways_of(kit, causal(kit))
    option = next(option for option in options.of["own.0"] if option.label == "recurrence")
    assert option.fitted
    assert not any(
        option.fitted for option in options.of["own.0"] if option.projections.gate is None
    )
    reference = Reference(problem)
    plain = Plan(moves={"own.0": (Recurrence(),)}).apply(options.model)
    assert reference.divergence(options.build({"own.0": option.moves})) < reference.divergence(
        plain
    )


@pytest.mark.parametrize("divergence, left", [(-1.0, 0.0), (0.0, 0.0), (0.25, 0.5), (4.0, 2.0)])
def test_healing_leaves_the_root(divergence, left):
    assert math.isclose(residual_divergence(divergence), left)
