"""Hints measure sites against what they gave, and let go of both models."""

import pytest
import torch

from heedful.allocation.moves import DropSite, ValueRank
from heedful.optimizing.hints import Hints
from heedful.testing.tolerance import assert_close


@pytest.fixture
def problem(kit):
    return kit.problem(kit.Tiny(layers=2).eval())


def outs(model, tokens):
    """What each site gives."""
    found = []
    handles = [
        site.out.register_forward_hook(lambda module, args, out: found.append(out.detach()))
        for site in model.own
    ]
    answer = model(tokens)
    for handle in handles:
        handle.remove()
    return found, answer.detach()


def distance(now, given):
    now, given = now.double(), given.double()
    return (now - given).square().mean() / given.var(correction=0)


def test_the_loss_is_the_squared_distance_as_a_share_of_the_variance(kit, problem):
    before, model, sites = kit.changed(problem, ValueRank(rank=2), ValueRank(rank=1))
    tokens = problem.calibration[0]
    (given, _), (now, alone) = outs(before, tokens), outs(model, tokens)
    with Hints(model, before, sites) as hints:
        before(tokens)
        answer = model(tokens)
        loss = hints.loss()
    want = sum(distance(x, y) for x, y in zip(now, given, strict=True))
    assert_close(loss, want, roundings=100, largest=want.item())
    assert torch.equal(answer, alone)
    loss.backward()
    assert model.own[0].value.weight.grad.abs().max() > 0


def test_what_is_forced_is_what_was_given(kit, problem):
    before, model, sites = kit.changed(problem, ValueRank(rank=2), ValueRank(rank=1))
    tokens = problem.calibration[0]
    with Hints(model, before, sites, forced=True) as hints:
        want = before(tokens)
        assert torch.allclose(model(tokens), want, atol=1e-6)
        assert hints.loss() > 0


def test_every_call_is_compared_with_its_own_and_counted_once(kit, problem):
    before, model, sites = kit.changed(problem, ValueRank(rank=2), ValueRank(rank=1))
    first, second = problem.calibration[:2]
    with Hints(model, before, sites) as hints:
        alone = []
        for tokens in (first, second):
            before(tokens)
            model(tokens)
            alone.append(hints.loss().item())
        for of in (before, model):
            of(first)
            of(second)
        assert hints.loss().item() == pytest.approx(sum(alone), rel=1e-5)
        assert hints.loss().item() == 0


def test_dropped_sites_are_left_out(kit, problem):
    before, model, sites = kit.changed(problem, DropSite(), ValueRank(rank=1))
    with Hints(model, before, sites) as hints:
        assert [site.name for site in hints.sites] == [sites[1].name]


def test_nothing_stays_behind(kit, problem):
    before, model, sites = kit.changed(problem, ValueRank(rank=2), ValueRank(rank=1))
    with pytest.raises(KeyboardInterrupt), Hints(model, before, sites):
        raise KeyboardInterrupt
    assert not any(module._forward_hooks for of in (before, model) for module in of.modules())
