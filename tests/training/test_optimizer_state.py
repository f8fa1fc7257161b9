"""What optimizers remember comes back bit for bit, whichever they are, or is refused in words."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from heedful.errors import RunError, UnsupportedError
from heedful.training.optimizer_state import optimizer_state, owners_of, parse_state

PATH = Path("optimizer.safetensors")
KINDS = {
    "Adam": {"lr": 0.1},
    "AdamW": {"lr": 0.1, "fused": True, "betas": (0.5, 0.9)},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "ASGD": {},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Rprop": {},
    "SGD": {"lr": 0.1},
    "SGD with momentum": {"lr": 0.1, "momentum": 0.9},
    "Adam with amsgrad": {"amsgrad": True},
}


class Two(nn.Module):
    """Two parts with an optimizer each, a scalar, and one that no gradient reaches."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.idle = nn.Parameter(torch.ones(5))
        self.fixed = nn.Parameter(torch.ones(6))


def fresh(kind):
    make = getattr(torch.optim, kind.partition(" ")[0])
    torch.manual_seed(0)
    model = Two()
    parts = {
        "first": make([*model.first.parameters(), model.idle], **KINDS[kind]),
        "second": torch.optim.AdamW([model.scale, *model.second.parameters()], lr=0.2),
    }
    return model, parts


def step(model, optimizers):
    for optimizer in optimizers.values():
        optimizer.zero_grad()
    x = torch.randn(7, 3)
    (model.second(model.first(x).tanh()) * model.scale).square().sum().backward()
    for optimizer in optimizers.values():
        optimizer.step()


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_stopped_goes_on_bit_for_bit(kind, begun):
    model, optimizers = fresh(kind)
    for _ in range(3 * begun):
        step(model, optimizers)
    kept = optimizer_state(model, optimizers, begun=begun)
    kept = {key: tensor.clone() for key, tensor in kept.items()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert not any("fixed" in key for key in kept), "no optimizer has it"
    for _ in range(3):
        step(model, optimizers)
    again, others = fresh(kind)
    torch.rand(5)
    parsed = parse_state(kept, again, others, PATH, begun=begun)
    again.load_state_dict(weights)
    parsed.restore()
    for _ in range(3):
        step(again, others)
    for (name, want), found in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(want, found), name
    for part, optimizer in optimizers.items():
        for group, other in zip(optimizer.param_groups, others[part].param_groups, strict=True):
            for left, right in zip(group["params"], other["params"], strict=True):
                found, want = others[part].state.get(right, {}), optimizer.state.get(left, {})
                assert {key for key, x in found.items() if x is not None} == {
                    key for key, x in want.items() if x is not None
                }


def trained(kind):
    model, optimizers = fresh(kind)
    step(model, optimizers)
    return model, optimizers, optimizer_state(model, optimizers, begun=True)


@pytest.mark.parametrize(
    "kind, change, message",
    [
        ("RMSprop", {"square_avg/first.bias": None}, "whole optimizer, got no square_avg/first.b"),
        ("RMSprop", {"square_avg/first.bias": torch.ones(3)}, "of shape (3,) for (4,)"),
        ("RMSprop", {"square_avg/first.bias": torch.ones(())}, "of shape () for (4,)"),
        ("ASGD", {"eta/first.bias": torch.ones(4)}, "eta/first.bias of shape (4,) for ()"),
        ("ASGD", {"eta/first.bias": torch.ones(()).int()}, "as torch.int32 for torch.float32"),
        ("Adam", {"exp_avg/scale": torch.ones(1)}, "exp_avg/scale of shape (1,) for ()"),
        ("Adam", {"exp_avg/scale": torch.tensor(torch.inf)}, "with what is no number"),
        ("Adam", {"exp_avg/fixed": torch.ones(6)}, "got 'exp_avg/fixed' besides"),
        ("Adam", {"unmoved/idle": None}, "whole optimizer, got no exp_avg/idle"),
        ("Adam", {"max_exp_avg_sq/first.bias": torch.ones(4)}, "got no max_exp_avg_sq/first.w"),
    ],
)
def test_what_is_not_whole_or_of_another_shape_is_refused(kind, change, message):
    model, optimizers, kept = trained(kind)
    kept = {key: x for key, x in (kept | change).items() if x is not None}
    with pytest.raises(RunError, match=re.escape(message)):
        parse_state(kept, model, optimizers, PATH, begun=True)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda x: torch.optim.Adafactor(x), "got row_var/weight of shape (2, 1) for (2, 3) in Ad"),
        (lambda x: torch.optim.LBFGS(x), "got func_evals/weight as int in LBFGS"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_it_is_lost(make, message):
    model = nn.Linear(3, 2, bias=False)
    optimizer = make(model.parameters())

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        optimizer_state(model, {"main": optimizer}, begun=True)


def test_owners_are_the_optimizers_of_each_parameter():
    model, optimizers = fresh("SGD")
    owners = owners_of(optimizers)
    assert owners[model.scale] is optimizers["second"]
    assert owners[model.first.weight] is optimizers["first"]
    assert model.fixed not in owners
