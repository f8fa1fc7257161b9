"""Changed sites come to give what they gave, each by itself, and nothing else changes."""

from dataclasses import replace

import pytest
import torch

from heedful.allocation.moves import DropSite, ShareKeyValue, ValueRank
from heedful.allocation.plan import unfused
from heedful.errors import TrainingError
from heedful.optimizing.distil import distil
from heedful.optimizing.problem import Reference


@pytest.fixture(params=["heedful", "torch"])
def problem(kit, request):
    kind = kit.Tiny if request.param == "heedful" else kit.Layers
    return kit.problem(
        kind(layers=2).eval(), spec=kit.ModelSpec(outputs="logits", learning_rate=3e-3)
    )


@pytest.fixture
def changed(kit):
    def changed(problem, *moves):
        return kit.changed(problem, *moves or (ShareKeyValue(kv_heads=1),) * 2)

    return changed


def given(model, site, tokens):
    """What goes into the queries of a site, and what the site gives."""
    found = {}
    hook_points = site.adapter.hook_points(site.of(model))
    handles = [
        hook_points.query.register_forward_pre_hook(
            lambda module, args: found.update(query=args[0])
        ),
        hook_points.out.register_forward_hook(lambda module, args, out: found.update(out=out)),
    ]
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return found


def distances(before, model, sites, tokens):
    """Of each site, asked alone: the one before it gives what it always gave."""
    found = []
    for site in sites:
        alone = unfused(before)
        site.write(alone, site.read(model))
        want, got = (given(of, site, tokens)["out"] for of in (before, alone))
        found.append(((want - got).square().mean() / want.var()).item())
    return found


def numbers(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def hooks(model):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )


def test_every_site_comes_closer_and_so_does_the_model(problem, changed):
    before, model, sites = changed(problem)
    tokens, reference = torch.cat(problem.calibration), Reference(problem)
    start, divergence = distances(before, model, sites, tokens), reference.divergence(model)
    distil(model, before, sites, problem, steps=60)
    end = distances(before, model, sites, tokens)
    assert all(after < 0.7 * first for after, first in zip(end, start, strict=True))
    assert reference.divergence(model) < divergence


def test_nothing_but_the_sites_changes(problem, changed):
    before, model, sites = changed(problem)
    first, other = numbers(model), numbers(before)
    distil(model, before, sites[1:], problem, steps=3)
    assert all(torch.equal(tensor, other[name]) for name, tensor in before.state_dict().items())
    moved = [name for name, x in model.state_dict().items() if not torch.equal(x, first[name])]
    assert moved
    assert all(name.startswith(sites[1].name) for name in moved)
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert hooks(model) == hooks(before) == 0


def test_a_site_is_asked_what_it_was_asked_before_the_change(problem, changed):
    before, model, sites = changed(problem)
    asked = []
    query = sites[1].adapter.hook_points(sites[1].of(model)).query
    handle = query.register_forward_pre_hook(lambda module, args: asked.append(args[0]))
    seen = []

    def outputs(of, batch):
        seen.append(batch)
        assert torch.is_grad_enabled() == (of is model)
        return problem.outputs(of, batch)

    distil(model, before, sites, replace(problem, outputs=outputs), steps=1)
    handle.remove()
    want = given(before, sites[1], seen[0])["query"]
    assert torch.allclose(asked[0], want, atol=1e-6)
    assert not torch.allclose(given(model, sites[1], seen[0])["query"], want, atol=1e-4)


def test_dropped_sites_stay_as_they_are_and_the_others_learn(problem, changed):
    before, model, sites = changed(problem, DropSite(), ValueRank(rank=2))
    first = numbers(model)
    distil(model, before, sites, problem, steps=3)
    moved = [name for name, x in model.state_dict().items() if not torch.equal(x, first[name])]
    assert moved
    assert all(name.startswith(sites[1].name) for name in moved)


def test_needs_no_truth_and_tells_its_steps(problem, changed):
    before, model, sites = changed(problem)
    told = []
    unknown = replace(problem, truth=lambda batch: pytest.fail("asked for the truth"))
    distil(model, before, sites, unknown, steps=3, on_step=told.append)
    assert told == [1, 2, 3]


def test_without_steps_or_sites_nothing_changes(problem, changed):
    before, model, sites = changed(problem)
    first = numbers(model)
    distil(model, before, sites, problem, steps=0)
    distil(model, before, [], problem, steps=3)
    distil(model.requires_grad_(False), before, sites, problem, steps=3)
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())


def test_a_site_that_nothing_runs_through_stays(problem, changed):
    before, model, sites = changed(problem)
    first = numbers(model)
    distil(model, before, sites, replace(problem, outputs=lambda model, batch: batch), steps=3)
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())


def test_a_seed_makes_the_same_model(problem, changed):
    found = []
    for seed in (1, 1, 4):
        before, model, sites = changed(problem)
        distil(model, before, sites, problem, steps=4, seed=seed)
        found.append(numbers(model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert any(not torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_what_is_no_number_leaves_no_hook_behind(problem, changed):
    before, model, sites = changed(problem)
    with torch.no_grad():
        next(sites[0].of(model).parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match="must be a number, got nan at step 1"):
        distil(model, before, sites, problem, steps=2)
    assert hooks(model) == hooks(before) == 0
