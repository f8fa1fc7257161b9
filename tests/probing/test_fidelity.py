"""Fidelity: near 0 for the right map, and far from it for a wrong one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.probing.fidelity import differs, fidelity
from heedful.probing.probe import probe
from heedful.probing.weights import Masking


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
    return replace(call, weights=replace(call.weights, **changes))


FAULTS = {
    "scale": lambda call: misread(call, scale=call.weights.scale * 1.01),
    "mask": lambda call: misread(call, masking=Masking()),
    "order of heads": lambda call: misread(call, kv_heads=call.weights.kv_heads[::-1]),
    "key": lambda call: misread(call, key=call.weights.key.roll(1, dims=2)),
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
    assert fidelity(misread(call, masking=Masking())).error == 1.0


def test_a_missing_number_is_not_forgiven():
    call = next(calls())
    call.output[0, 0, 0, 0] = torch.nan
    assert not fidelity(call).error < 1.0


# ---- what is said unasked ------------------------------------------------------------------------


def shown(fault, kind):
    """A probe whose one call was misread."""
    torch.manual_seed(0)
    x, hidden = torch.randn(2, 40, 24), torch.ones(40, 40).triu(1).bool()
    module, given = [
        (Attention(width=24, heads=6, kv_heads=3), {"mask": Mask.causal()}),
        (nn.MultiheadAttention(24, 6, batch_first=True), {"attn_mask": hidden}),
        (nn.TransformerEncoderLayer(24, 6, 32, batch_first=True).eval(), {"src_mask": hidden}),
    ][kind]
    inputs = (x, x, x) if kind == 1 else (x,)
    with torch.no_grad(), probe(module) as p:
        module(*inputs, **given)
    (calls,) = p._hearing.calls.values()
    calls[0] = fault(calls[0])
    return p, p.sites[0]


READINGS = {
    "maps": lambda p, site: p.maps(site),
    "blocks": lambda p, site: list(p.blocks(site)),
    "statistics": lambda p, site: p.statistics(),
}


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["heedful", "torch", "fused"])
@pytest.mark.parametrize("reading", READINGS)
def test_a_wrong_map_is_said_once(kind, reading):
    p, site = shown(FAULTS["mask"], kind)
    with pytest.warns(UserWarning, match=f"the maps of '{site}' are not those that the model used"):
        READINGS[reading](p, site)
    READINGS[reading](p, site)  # a second warning would be an error here
    assert p.statistics()[site].error > 0.01


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["heedful", "torch", "fused"])
def test_a_right_map_says_nothing_and_has_its_error(kind):
    p, site = shown(lambda call: call, kind)
    for read in READINGS.values():
        read(p, site)
    assert p.statistics()[site].error < 1e-5


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["heedful", "torch", "fused"])
def test_some_rows_are_compared_as_all_are(kind):
    p, site = shown(FAULTS["key"], kind)
    (call,) = p.calls(site)
    every = fidelity(call).error
    assert fidelity(call, rows=40).error == every
    found = [fidelity(call, rows=rows).error for rows in (1, 8, 39)]
    assert all(0.01 < error < 3 * every for error in found)


def test_what_cannot_be_judged_has_no_error():
    p, site = shown(lambda call: replace(call, unverifiable="dropout was active"), 0)
    assert p.statistics()[site].error is None


def test_without_rows_there_is_nothing_to_compare():
    with torch.no_grad(), probe(module := Attention(width=24, heads=6), rows=[]) as p:
        module(torch.randn(2, 7, 24))
    assert p.fidelity()[""].reason == "there is no row to compare"


def test_half_precision_may_be_off_by_its_rounding():
    call = next(calls())
    half = replace(call, output=call.output.bfloat16())
    assert not differs(half, 0.05)
    assert differs(call, 0.05)
    assert differs(half, float("nan"))
