"""The refit is the least squares solution, computed by numpy."""

import copy

import numpy as np
import pytest
import torch

from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.optimizing.problem import Reference
from heedful.optimizing.reconstruct import reconstruct


def heard(model, tokens, place):
    """What goes into the output projection of a site, and what comes out."""
    found = {}

    def hear(module, args, output):
        found["x"], found["y"] = args[0].flatten(0, -2), output.flatten(0, -2)

    handle = model.own[place].out.register_forward_hook(hear)
    with torch.no_grad():
        model(tokens)
    handle.remove()
    return found["x"].double().numpy(), found["y"].double().numpy()


@pytest.fixture
def problem(kit):
    return kit.problem(kit.Tiny(layers=2).eval())


def cut(problem, name, *moves):
    before = unfused(problem.model)
    sites = [site for site in find_sites(before)[0] if site.name == name]
    return Plan(moves={name: moves}).apply(before), before, sites


def test_is_the_least_squares_solution(problem):
    model, before, sites = cut(problem, "own.1", KeepHeads(heads=(1, 3)))
    reconstruct(model, before, sites, problem)
    tokens = torch.cat(problem.calibration)
    x, _ = heard(model, tokens, 1)
    _, y = heard(before, tokens, 1)
    x = np.pad(x, ((0, 0), (0, 1)), constant_values=1)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    out = model.own[1].out
    ours = np.vstack([out.weight.detach().numpy().T, out.bias.detach().numpy()])
    errors = [((x @ weights - y) ** 2).mean() for weights in (best, ours)]
    assert errors[0] <= errors[1] <= 1.001 * errors[0] + 1e-9


def test_repairs_what_went_missing(problem):
    model, before, sites = cut(problem, "own.0", KeepHeads(heads=(0, 1, 2)))
    reference = Reference(problem)
    divergence = reference.divergence(model)
    reconstruct(model, before, sites, problem)
    assert reference.divergence(model) < divergence


def test_a_head_that_another_can_stand_in_for_is_not_missed(problem):
    with torch.no_grad():
        for linear in (problem.model.own[0].query, problem.model.own[0].key):
            linear.weight[4:8], linear.bias[4:8] = linear.weight[:4], linear.bias[:4]
        value = problem.model.own[0].value
        value.weight[4:8], value.bias[4:8] = 2 * value.weight[:4], 2 * value.bias[:4] + 1
    model, before, sites = cut(problem, "own.0", KeepHeads(heads=(0, 2, 3)))
    reconstruct(model, before, sites, problem)
    tokens = torch.cat(problem.calibration)
    difference = (model(tokens) - before(tokens)).abs().max().item()
    assert difference < 2e-3 * before(tokens).abs().max().item()


def test_what_changed_further_up_is_felt(problem):
    """Refitting the second site makes up for some of what the first lost."""
    before = unfused(problem.model)
    model = Plan(moves={"own.0": (DropSite(),)}).apply(before)
    second = find_sites(before)[0][1:]
    divergence = Reference(problem).divergence(model)
    tokens = torch.cat(problem.calibration)
    _, wanted = heard(before, tokens, 1)
    errors = []
    for _ in range(2):
        errors.append(((heard(model, tokens, 1)[1] - wanted) ** 2).mean())
        reconstruct(model, before, second, problem)
    assert errors[1] < errors[0]
    assert np.isfinite(divergence)


def test_dropped_sites_are_left_alone_and_nothing_listens_afterwards(problem):
    model, before, sites = cut(problem, "own.0", DropSite())
    numbers = copy.deepcopy(model.state_dict())
    reconstruct(model, before, sites, problem)
    assert all(torch.equal(x, numbers[name]) for name, x in model.state_dict().items())
    model, before, sites = cut(problem, "own.0", KeepHeads(heads=(1,)))
    reconstruct(model, before, sites, problem)
    for module in (*model.modules(), *before.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_the_model_before_stays(problem):
    model, before, sites = cut(problem, "own.0", KeepHeads(heads=(1,)))
    numbers = copy.deepcopy(before.state_dict())
    reconstruct(model, before, sites, problem)
    assert all(torch.equal(x, numbers[name]) for name, x in before.state_dict().items())


def test_numbers_that_are_none_change_nothing(problem):
    model, before, sites = cut(problem, "own.0", KeepHeads(heads=(1,)))
    with torch.no_grad():
        model.own[0].value.bias[0] = torch.inf
    out = model.own[0].out.weight.clone()
    reconstruct(model, before, sites, problem)
    assert torch.equal(model.own[0].out.weight, out)
