"""A recurrence that is called as attention: step by step, masks, caches, refusals."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import KeyValueCache
from heedful.nn.fusion import GatedRecurrence, linear_recurrence
from heedful.testing.tolerance import assert_close

WIDTH = 6


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(heads=2, dim=4):
    module = GatedRecurrence(width=WIDTH, heads=heads, dim=dim).double()
    for seed, parameter in enumerate(module.parameters()):
        parameter.data = draw(*parameter.shape, seed=seed + 10) / 2
    return module


def loops(module, x, exists):
    """Position by position."""
    state = {name: p.detach() for name, p in module.named_parameters()}
    size = module.heads * module.dim
    inner = x @ state["inner.weight"].T + state["inner.bias"]
    new, forget = inner[..., :size], 1 / (1 + (-inner[..., size:]).exp())
    states = torch.zeros_like(new)
    for b in range(len(x)):
        carried = torch.zeros_like(new[b, 0])
        for p in range(x.shape[1]):
            if exists[b, p]:
                carried = forget[b, p] * carried + (1 - forget[b, p]) * new[b, p]
            states[b, p] = carried
    return states @ state["out.weight"].T + state["out.bias"]


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("length", [1, 2, 8, 9])
def test_is_the_loops(length, hidden, causal):
    module, x = build(), draw(2, length, WIDTH)
    exists = torch.ones(2, length).bool()
    if hidden:
        exists = draw(2, length, seed=5) > 0
    mask = Mask.dense(exists[:, None, None]) if hidden else None
    if causal:
        mask = Mask.causal() if mask is None else mask & Mask.causal()
    same(module(x, mask=mask), loops(module, x, exists))


@pytest.mark.parametrize("length", [1, 5, 64, 100])
def test_states_do_not_depend_on_how_they_are_reached(length):
    added, kept = draw(2, length, 3), draw(2, length, 3, seed=2).sigmoid()
    state, want = draw(2, 1, 3, seed=4), []
    carried = state[:, 0]
    for p in range(length):
        carried = kept[:, p] * carried + added[:, p]
        want.append(carried)
    same(linear_recurrence(added, kept, state), torch.stack(want, 1))
    same(linear_recurrence(added, kept), linear_recurrence(added, kept, torch.zeros_like(state)))


def test_nothing_grows_over_many_positions():
    kept = torch.full((1, 5000, 1), 1.0)
    states = linear_recurrence(torch.zeros(1, 5000, 1), kept, torch.ones(1, 1, 1))
    assert torch.equal(states, torch.ones(1, 5000, 1))


def test_starts_with_channels_that_remember_for_different_times():
    module = GatedRecurrence(width=WIDTH, heads=2, dim=5)
    forget = module.inner(draw(1, 1, WIDTH).float())[0, 0, 10:].sigmoid()
    ages = torch.tensor([1 / 4, 2**-0.5, 2, 2**2.5, 16])
    torch.testing.assert_close(forget / (1 - forget), ages.repeat(2))


@pytest.mark.parametrize("parts", [[1] * 9, [4, 1, 1, 3], [9]])
@pytest.mark.parametrize("hidden", [None, [1, 0, 1, 1, 1, 0, 1, 1, 1]])
def test_steps_are_one_pass(in_steps, parts, hidden):
    module, x, cache = build(), draw(2, 9, WIDTH), KeyValueCache()
    same(*in_steps(module, x, parts, hidden, cache))
    assert cache.length == 9
    assert cache.stored()[1].shape == (2, 1, 1, 8)


def test_rows_of_a_cache_can_be_chosen(last_of):
    same(*last_of(torch.tensor([1, 1, 0]), build(), draw(2, 9, WIDTH)))


def test_says_what_it_is_not_called_with():
    module, x = build(), draw(2, 9, WIDTH)
    assert torch.equal(module(x, x), module(x))
    with pytest.raises(UnsupportedError, match="context must be None for the recurrence, got"):
        module(x, x.clone())
    with pytest.raises(UnsupportedError, match="gates must be None for the recurrence, got some"):
        module(x, gates=torch.ones(2, 1, 9, 1))
    with pytest.raises(UnsupportedError, match="because the recurrence mixes neighbours whoever"):
        module(x, mask=Mask.window(3))
    with pytest.raises(ShapeError):
        module(x, mask=Mask.dense(torch.ones(1, 3, 1, 9).bool()))


@pytest.mark.parametrize("name", ["width", "heads", "dim"])
def test_rejects_settings(name):
    with pytest.raises(ConfigError, match=re.escape(f"{name} must be at least 1, got 0")):
        GatedRecurrence(**{"width": 4, "heads": 2, "dim": 2} | {name: 0})
