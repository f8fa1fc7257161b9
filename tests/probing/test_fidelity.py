"""Fidelity: near 0 for the right map, and far from it for a wrong one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.probing.fidelity import fidelity
from heedful.probing.probe import probe
from heedful.probing.weighing import Rules


def heard(module, *inputs, **given):
    with torch.no_grad(), probe(module) as p:
        module(*inputs, **given)
    return p.calls(p.sites[0])[0]


def calls():
    torch.manual_seed(0)
    x, mask = torch.randn(2, 7, 24), Mask.causal()
    yield heard(Attention(width=24, heads=6, kv_heads=3), x, mask=mask)
    hidden = torch.ones(7, 7).triu(1).bool()
    yield heard(nn.MultiheadAttention(24, 6, batch_first=True), x, x + 1, x, attn_mask=hidden)
    layer = nn.TransformerEncoderLayer(24, 6, 32, batch_first=True).eval()
    yield heard(layer, x, src_mask=hidden)


def misread(call, **changes):
    return replace(call, weigher=replace(call.weigher, **changes))


FAULTS = {
    "scale": lambda call: misread(call, scale=call.weigher.scale * 1.01),
    "mask": lambda call: misread(call, rules=Rules()),
    "order of heads": lambda call: misread(call, kv_heads=call.weigher.kv_heads[::-1]),
    "key": lambda call: misread(call, key=call.weigher.key.roll(1, dims=2)),
    "value": lambda call: replace(call, value=call.value.roll(1, dims=2)),
    "softcap": lambda call: misread(call, softcap=1.0),
    "sinks": lambda call: misread(call, sinks=torch.full((1, 6, 1, 1), -3.0)),
}


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["heedful", "torch", "fused"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_misread_site_is_found(kind, fault):
    call = list(calls())[kind]
    assert fidelity(call).error < 1e-6
    assert fidelity(FAULTS[fault](call)).error > 1e-4


def test_changed_parameters_cannot_be_judged():
    module, x = nn.MultiheadAttention(24, 6, batch_first=True), torch.randn(2, 7, 24)
    call = heard(module, x, x + 1, x)
    assert fidelity(call).error < 1e-6
    with torch.no_grad():
        module.out_proj.weight.mul_(2)
    assert fidelity(call).error is None
    assert fidelity(call).reason == "the parameters after attention have changed since"


def test_attention_without_a_share_cannot_be_judged():
    layer = nn.TransformerEncoderLayer(24, 6, 32, batch_first=True).eval()
    nn.init.zeros_(layer.self_attn.out_proj.weight)
    call = heard(layer, torch.randn(2, 7, 24))
    assert fidelity(call).reason == "what attention adds there is below rounding"


def test_output_0_is_judged():
    module = Attention(width=24, heads=6)
    call = heard(module, torch.randn(2, 7, 24), mask=Mask.lengths(torch.tensor([0, 0])))
    assert fidelity(call).error == 0.0
    assert fidelity(misread(call, rules=Rules())).error == 1.0


def test_a_missing_number_is_not_forgiven():
    call = next(calls())
    call.used[0, 0, 0, 0] = torch.nan
    assert not fidelity(call).error < 1.0
