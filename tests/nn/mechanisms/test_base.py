"""A mechanism that is one op calls it, with its parameters and settings, and learns."""

import inspect

import pytest
import torch

import heedful.ops
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms import MECHANISMS
from heedful.nn.mechanisms.base import OpMechanism

CASES = [
    ("adaptive_span", {"max_span": 10, "ramp": 2.5}),
    ("additive", {}),
    ("blockwise", {}),
    ("blockwise", {"block": 4}),
    ("concat", {"hidden": 5}),
    ("cosine", {}),
    ("dot", {}),
    ("entmax", {}),
    ("entmax", {"alpha": 1.25}),
    ("entmax", {"alpha": 1.25, "learned": True}),
    ("general", {}),
    ("hedgehog", {"features": 5}),
    ("linear", {}),
    ("linformer", {"rank": 4, "max_keys": 11}),
    ("low_rank", {"rank": 2}),
    ("nystrom", {"landmarks": 3, "iterations": 2}),
    ("nystrom", {"landmarks": 4, "convolution": 5, "aligned": True}),
    ("performer", {"features": 5}),
    ("reformer", {"buckets": 4, "chunk": 2}),
    ("reformer", {"rounds": 3, "buckets": 4, "chunk": 3, "aligned": True}),
    ("scalable", {"start": 1.5}),
    ("scaled_dot", {}),
    ("scaled_dot", {"scale": 0.7}),
    ("sigmoid", {}),
    ("sigmoid", {"bias": -1.5}),
    ("sigmoid", {"bias": -1.5, "learned": True}),
    ("sink", {}),
    ("sink", {"learned": False}),
    ("sparsemax", {}),
    ("talking_heads", {}),
    ("temperature", {}),
    ("temperature", {"coefficients": (0.5, 2.0), "least_entropy": 0.25}),
    ("top_k", {}),
    ("top_k", {"kept": 2, "straight_through": True}),
    ("window", {"window": 3, "ahead": 1, "sinks": 2}),
]


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(name, settings, dim=3):
    """With other parameters than those that it starts with."""
    torch.manual_seed(5)
    mechanism = MECHANISMS[name](heads=4, dim=dim, **settings).double()
    with torch.no_grad():
        for seed, parameter in enumerate(mechanism.parameters()):
            parameter += 0.1 * draw(*parameter.shape, seed=seed + 7)
    return mechanism


def expected(mechanism, op, settings):
    """What the op should get: its arguments by name, from the settings or else from the module."""
    given = {}
    for name in inspect.signature(op).parameters:
        there = getattr(mechanism, name, None)
        there = there() if callable(there) else there
        if name in settings and not isinstance(there, torch.Tensor):
            given[name] = settings[name]
        elif hasattr(mechanism, name):
            given[name] = there
    return given


def test_every_mechanism_that_is_one_op_is_here():
    kinds = {name for name, kind in MECHANISMS.items() if issubclass(kind, OpMechanism)}
    assert {name for name, _ in CASES} == kinds


@pytest.mark.parametrize("name, settings", CASES)
def test_is_the_op_with_its_parameters_and_settings(name, settings):
    mechanism = made(name, settings)
    queries = 9 if settings.get("aligned") else 5
    query, key, value = draw(2, 4, queries, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    attention = getattr(heedful.ops, f"{name}_attention")
    want = attention(query, key, value, mask=mask, **expected(mechanism, attention, settings))
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    if settings.get("convolution"):  # is added to what the weights make
        return
    weights = getattr(heedful.ops, f"{name}_weights")
    want = weights(query, key, mask=mask, **expected(mechanism, weights, settings))
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


@pytest.mark.parametrize("name, settings", CASES)
def test_learns_inside_attention(name, settings):
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=made(name, settings)).double()
    x, mask = draw(2, 9, 12), Mask.lengths(torch.tensor([9, 7]))
    attention(x, mask=mask).square().sum().backward()
    for part, parameter in attention.named_parameters():
        assert parameter.grad.isfinite().all(), part
        assert parameter.grad.any(), part
    assert attention.weights(x, mask=mask).shape == (2, 4, 9, 9)


def test_refuses_a_subclass_without_its_op():
    with pytest.raises(TypeError, match=r"required .*argument"):

        class Nameless(OpMechanism):
            pass
