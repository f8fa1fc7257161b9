"""What is the same is held once, and nothing says anything else for it."""

import copy

import torch

from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan, unfused
from heedful.optimizing.shared_weights import share_weights


def places(model):
    return {name: parameter.data_ptr() for name, parameter in model.named_parameters()}


def test_what_is_the_same_is_held_once(kit):
    original = kit.planted(layers=2)
    plan = Plan(moves={"own.1": (KeepHeads(heads=(2,)),)})
    model = plan.apply(original).eval()
    with torch.no_grad():
        model.head.bias[1] += 1
    tokens = kit.rows(9)
    before = model(tokens)
    parameters = dict(model.named_parameters())
    assert share_weights(model, original) is model
    assert torch.equal(model(tokens), before)
    assert all(parameters[name] is each for name, each in model.named_parameters())
    theirs = places(original)
    shared = {name for name, place in places(model).items() if theirs.get(name) == place}
    assert {"embed.weight", "head.weight", "own.0.query.weight"} <= shared
    assert not shared & {"head.bias", "own.1.query.weight"}


def test_a_copy_of_it_learns_alone(kit):
    original = kit.planted()
    model = share_weights(unfused(original), original)
    for copied in (copy.deepcopy(model), unfused(model)):
        assert not set(places(copied).values()) & set(places(original).values())


def test_other_dtypes_are_not_shared(kit):
    original = kit.planted()
    model = copy.deepcopy(original).double()
    assert not set(places(share_weights(model, original)).values()) & set(places(original).values())
