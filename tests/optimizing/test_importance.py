"""Gates on heads: their gradients by finite differences, heads left out by zeroed weights."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from heedful.allocation.moves import DropSite
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.nn import Attention
from heedful.optimizing import importance
from heedful.optimizing.importance import (
    fisher,
    gate_scores,
    gated,
    leave_one_out,
)
from heedful.optimizing.problem import Reference

USED = 2
NAMES = ["fisher", "gate_gradient"]


class Values(nn.Module):
    """Numbers in, numbers out, in float64; calls its site as often as it is told."""

    def __init__(self, calls=1, fold=False):
        super().__init__()
        self.own = Attention(width=8, heads=4)
        self.calls, self.fold = calls, fold
        self.double().eval()

    def forward(self, x):
        shape = x.shape
        x = x.flatten(0, 1) if self.fold else x
        for _ in range(self.calls):
            x = x + self.own(x)
        return x.reshape(shape).flatten(2).sum(1)


def subject_of(kit, model, batches):
    model = unfused(model)
    return replace(
        kit.problem(),
        model=model,
        calibration=batches,
        outputs=lambda model, batch: model(batch),
        kind="values",
    )


def draw(*shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores_by(name, *args, **kwargs):
    return getattr(gate_scores(*args, **kwargs), name)


def scaled(model, head, factor):
    """The output projection reads so much of a head: a gate that shares no code."""
    new = copy.deepcopy(model)
    with torch.no_grad():
        new.own.out.weight[:, 2 * head : 2 * head + 2] *= factor
    return new


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("name, power", [("fisher", 2), ("gate_gradient", 1)])
def test_is_the_mean_power_of_the_slope_along_a_gate(kit, name, power, calls):
    model = Values(calls)
    batches = [draw(1, 5, 8, seed=seed) for seed in range(3)]
    problem = subject_of(kit, model, batches)
    found = scores_by(name, problem.model, find_sites(model)[0], problem, seed=7)["own"]
    generator = torch.Generator().manual_seed(7)
    noise = [torch.randn(1, 8, generator=generator) for _ in batches]
    step = 1e-5
    for head in range(4):
        more, less = scaled(model, head, 1 + step), scaled(model, head, 1 - step)
        with torch.no_grad():
            slopes = [
                ((more(x) - less(x)) * random).sum() / (2 * step)
                for x, random in zip(batches, noise, strict=True)
            ]
        expected = torch.stack(slopes).abs().pow(power).mean().item()
        assert found[head].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_rows_count_one_by_one_however_they_come(kit, name, monkeypatch):
    monkeypatch.setattr(importance, "_own_loss", lambda _, outputs, __: outputs.sum())
    rows = draw(6, 5, 8)
    found = []
    for size in (1, 4, 6):
        problem = subject_of(kit, Values(), list(rows.split(size)))
        problem.model.load_state_dict(found[0][0] if found else problem.model.state_dict())
        scores = scores_by(name, problem.model, find_sites(problem.model)[0], problem)["own"]
        found.append((problem.model.state_dict(), scores))
    for _, scores in found[1:]:
        assert torch.allclose(scores, found[0][1])
    assert (found[0][1] > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_planted_head_is_the_only_one_that_matters(kit, name):
    problem = kit.problem(kit.planted(layers=2))
    sites = find_sites(problem.model)[0]
    found = scores_by(name, problem.model, sites, problem)
    assert set(found) == {"own.0", "own.1"}
    for scores in found.values():
        assert scores.argmax() == USED
        assert scores.count_nonzero() == 1


def test_both_scores_come_from_one_pass(kit):
    problem = kit.problem()
    passes = []

    def outputs(model, batch):
        passes.append(batch)
        return problem.outputs(model, batch)

    counted = replace(problem, outputs=outputs)
    gate_scores(counted.model, find_sites(counted.model)[0], counted)
    assert len(passes) == len(problem.calibration)


def test_a_seed_draws_the_same_labels(kit):
    problem = kit.problem()
    sites = find_sites(problem.model)[0]
    first, second, other = (
        fisher(problem.model, sites, problem, seed=seed)["own.0"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_batches_may_be_folded_on_the_way_to_a_site(kit):
    model = Values(fold=True)
    problem = subject_of(kit, model, [draw(2, 3, 5, 8)])
    sites = find_sites(model)[0]
    assert (fisher(problem.model, sites, problem)["own"] > 0).all()


def test_a_site_that_nothing_runs_through_has_no_importance(kit):
    model = kit.planted()
    model.spare = Attention(width=16, heads=2)
    problem = kit.problem(model)
    found = fisher(problem.model, find_sites(model)[0], problem)
    assert found["spare"].tolist() == [0, 0]


def test_where_no_head_is_left_nothing_is_scored(kit):
    problem = kit.problem()
    sites = find_sites(problem.model)[0]
    dropped = Plan(moves={"own.0": (DropSite(),)}).apply(problem.model)
    assert fisher(dropped, sites, problem) == {}
    assert leave_one_out(dropped, sites, Reference(problem))["own.0"].shape == (0,)


def test_leaving_out_is_what_zeroed_weights_do(kit):
    problem = kit.problem(kit.Tiny().eval())
    sites = find_sites(problem.model)[0]
    reference = Reference(problem)
    found = leave_one_out(problem.model, sites, reference)["own.0"]
    for head in range(4):
        without = copy.deepcopy(problem.model)
        with torch.no_grad():
            without.own[0].out.weight[:, 4 * head : 4 * head + 4] = 0
        assert found[head].item() == pytest.approx(reference.divergence(without), rel=1e-3)


def test_gates_are_gone_afterwards_even_after_an_error(kit):
    model = unfused(kit.planted())
    sites = find_sites(model)[0]
    tokens = kit.rows(4)
    before = model(tokens)

    def fail():
        with gated(model, {"own.0": torch.zeros(4)}, sites):
            assert not torch.allclose(model(tokens), before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(model(tokens), before)
    assert not model.own[0].out._forward_pre_hooks


def test_a_gate_turns_its_own_head_only(kit):
    model = unfused(kit.planted())
    sites = find_sites(model)[0]
    tokens = kit.rows(4)
    gates = torch.zeros(4)
    gates[USED] = 1
    with gated(model, {"own.0": gates}, sites):
        assert torch.allclose(model(tokens), kit.planted()(tokens), atol=1e-6)
