"""A model in shares: less of it in each process, the same numbers in all of them together."""

import pytest
import torch
from torch import nn

from heedful.distributed.fsdp import (
    gathered,
    holds_shares,
    is_sharded,
    norm_of,
    spread_like,
    synchronise,
    whole,
)

MODEL = """
from torch import nn

class Model(nn.Module):
    as_a_whole = False  # is a pair called by its own forward pass?

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(3, 4)
        inner = nn.ModuleList([nn.Linear(4, 4)])
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Identity(), inner])
        self.pairs = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))])

    def forward(self, x):
        x = self.first(x)
        for layer in (self.layers[0], self.layers[2][0]):
            x = layer(x).tanh()
        if not self.as_a_whole:
            return self.pairs[0][1](self.pairs[0][0](x).tanh()).sum()
        x = self.pairs[0](x)
        return (self.pairs[0][1](x) if self.as_a_whole == "too" else x).sum()

    def looked_at(self):  # reads numbers outside of any forward pass
        return self.first.weight.sum() + self.layers[0].bias.sum()
"""
CODE = (
    MODEL
    + """
from heedful.distributed.fsdp import check_loss, gather_for_loss
from heedful.distributed.fsdp import gathered, holds_shares, is_sharded, norm_of
from heedful.errors import UnsupportedError
from heedful.distributed.fsdp import shard_model, spread_like, synchronise, whole
model = Model()
plain = [x.detach().clone() for x in model.parameters()]
shard_model(model, device="cpu")
own = sum(x.to_local().numel() for x in model.parameters())
found["own"] = torch.tensor(own)
found["sharded"] = torch.tensor([is_sharded(x) for x in (
    model, model.first, *model.layers, model.layers[2][0])])
found["shares"] = torch.tensor([holds_shares(x) for x in (model, model.first, model.layers[1])])
for number, (name, x) in enumerate(model.named_parameters()):
    assert torch.equal(gathered(x.detach()), plain[number]), name
    assert torch.equal(spread_like(plain[number], x).to_local(), x.to_local())
for on in (False, True):  # the first is added up in each process alone
    synchronise(model, on)
    model(torch.full((2, 3), 1.0 + rank)).backward()
found["gradient"] = gathered(model.first.weight.grad)
norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
found["norm"] = torch.tensor(norm_of(norm))
model.as_a_whole = True
model(torch.full((2, 3), 3.0)).backward()
found["inner"] = torch.stack([gathered(x.weight.grad) for x in model.pairs[0]])
model.zero_grad()
said = model(torch.ones(2, 3))

def squares():
    return sum(x.square().sum() for x in model.parameters())

try:
    check_loss(said + squares())
except UnsupportedError as error:
    found["shares of a loss"] = torch.tensor(list(str(error).encode()))
gather_for_loss(model)
loss = said + squares()
check_loss(loss)
loss.backward()
found["penalty"] = torch.stack([gathered(x.weight.grad) for x in model.pairs[0]])
model.as_a_whole = "too"
try:
    model(torch.ones(1, 3))
except UnsupportedError as error:
    found["refused"] = torch.tensor(list(str(error).encode()))
model.as_a_whole = False
with whole(model), torch.inference_mode():
    found["looked"] = model.looked_at().clone()
    found["said"] = model(torch.ones(1, 3)).clone()
    assert model.first.weight.shape == (4, 3) and type(model.first.weight) is nn.Parameter
assert sum(x.to_local().numel() for x in model.parameters()) == own
"""
)


@pytest.fixture(scope="module")
def said(in_processes):
    return in_processes(CODE, 2)


@pytest.fixture
def model():
    made = {}
    exec(f"import torch\n{MODEL}", made)  # as in the processes
    return made["Model"]()


def test_each_process_holds_about_half(said, model):
    count = sum(x.numel() for x in model.parameters())
    own = [int(found["own"]) for found in said]
    assert sum(own) == count
    assert max(own) <= 0.6 * count


def test_modules_of_lists_are_gathered_by_themselves(said):
    assert said[0]["sharded"].tolist() == [True, False, True, False, False, True]


def test_what_is_within_a_model_that_is_spread_holds_shares(said):
    assert said[0]["shares"].tolist() == [True, True, False]


def test_gradients_are_the_mean_over_processes_of_what_each_has_added_up(said, model):
    for value in (1.0, 2.0):  # of each process two passes, half of both
        model(torch.full((2, 3), value)).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
    for found in said:
        torch.testing.assert_close(found["gradient"], model.first.weight.grad)
        torch.testing.assert_close(found["norm"], norm)
    model.as_a_whole = True
    model(torch.full((2, 3), 3.0)).backward()
    inner = torch.stack([layer.weight.grad for layer in model.pairs[0]])
    for found in said:  # by modules within it first, and then as a whole
        torch.testing.assert_close(found["inner"], inner)


def test_a_loss_may_read_parameters_that_were_gathered_for_it(said, model):
    model.as_a_whole = True
    (model(torch.ones(2, 3)) + sum(x.square().sum() for x in model.parameters())).backward()
    inner = torch.stack([layer.weight.grad for layer in model.pairs[0]])
    for found in said:
        torch.testing.assert_close(found["penalty"], inner)
        message = bytes(found["shares of a loss"].tolist()).decode()
        assert message.startswith("a loss that reads parameters must call heedful.distributed.fsdp")


def test_a_module_called_in_both_ways_is_refused(said):
    message = "must be called either as a whole or by modules within it"
    for found in said:
        text = bytes(found["refused"].tolist()).decode()
        assert message in text
        assert text.endswith("got both of Sequential")


def test_as_a_whole_any_method_can_be_called(said, model):
    for found in said:
        torch.testing.assert_close(found["looked"], model.looked_at().detach())
        torch.testing.assert_close(found["said"], model(torch.ones(1, 3)).detach())


def test_what_is_not_spread_stays_as_it_is():
    layer = nn.Linear(2, 3)
    assert not is_sharded(layer)
    assert not holds_shares(layer)
    assert gathered(layer.weight) is layer.weight
    assert spread_like(layer.bias, layer.weight) is layer.bias
    with whole(layer):
        synchronise(layer, on=False)
    assert norm_of(torch.tensor(2.5)) == 2.5
    assert norm_of(None) != norm_of(None)
