"""Heads on several processes give what they give together, and each process holds its share."""

import re

import pytest
import torch

from heedful.distributed import head_parallel
from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import AlibiPositions, Attention, RotaryPositions
from heedful.nn.mechanisms import Sparsemax

MAKE = """
from heedful.mask import Mask
from heedful.nn import Attention, RotaryPositions

def make():
    torch.manual_seed(0)
    module = Attention(
        width=6, heads=4, kv_heads=2, dim=8, value_dim=3, positions=RotaryPositions(dim=8)
    )
    for each in (module.query, module.key, module.value, module.out):
        torch.nn.init.normal_(each.bias)
    return module, torch.randn(2, 5, 6), torch.randn(2, 5, 6)
"""
CODE = (
    MAKE
    + """
from heedful.distributed import head_parallel
from heedful.distributed.fsdp import gathered
module, x, by_output = make()
assert head_parallel(module) is module
x.requires_grad_()
output = module(x, mask=Mask.causal())
output.backward(by_output)
found["output"], found["x"] = output, x.grad
found["own"] = torch.tensor(sum(each.to_local().numel() for each in module.parameters()))
for name, parameter in module.named_parameters():
    found[name] = gathered(parameter.grad)
"""
)


def test_heads_apart_are_the_heads_together(in_processes):
    made = {"torch": torch}
    exec(MAKE, made)
    module, x, by_output = made["make"]()
    x.requires_grad_()
    output = module(x, mask=Mask.causal())
    output.backward(by_output)
    count = sum(each.numel() for each in module.parameters())
    for found in in_processes(CODE, 2):
        torch.testing.assert_close(found["output"], output.detach())
        torch.testing.assert_close(found["x"], x.grad)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad, msg=name)
        assert int(found["own"]) <= 0.55 * count  # all but the bias of `out` is shared


def test_what_cannot_be_spread_says_why(alone, monkeypatch):
    one = Attention(width=8, heads=4, mechanism=Sparsemax(heads=4, dim=2))
    with pytest.raises(UnsupportedError, match="got the mechanism Sparsemax"):
        head_parallel(one)
    one = Attention(width=8, heads=4, positions=AlibiPositions(heads=4))
    with pytest.raises(UnsupportedError, match="rotary ones or none, got AlibiPositions"):
        head_parallel(one)
    one = Attention(width=8, heads=4, positions=RotaryPositions(dim=2))
    x = torch.randn(1, 3, 8)
    want = one(x)
    torch.testing.assert_close(head_parallel(one)(x), want)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group: 3)
    message = "the processes must divide heads and kv_heads, got 3, heads=6, kv_heads=2"
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        head_parallel(Attention(width=12, heads=6, kv_heads=2))


def test_without_a_group_nothing_is_spread():
    with pytest.raises(ConfigError, match="a process group must be there, got none"):
        head_parallel(Attention(width=8, heads=4))
