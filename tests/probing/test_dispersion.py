"""Dispersion of heads: one table of what the probe knows, in plain numbers."""

import json
import math

import pytest
import torch

from heedful.mask import Mask
from heedful.models import Transformer
from heedful.nn.attention import Attention
from heedful.probing.dispersion import dispersion_of
from heedful.probing.probe import probe
from heedful.probing.sharpness import sharpness


def heard():
    torch.manual_seed(0)
    model = Transformer(
        source_size=20, target_size=15, width=24, heads=6, encoder_layers=1, decoder_layers=1
    ).eval()
    source = torch.randint(4, 20, (4, 9))
    with probe(model) as p, torch.no_grad():
        model.decode(
            torch.randint(4, 15, (4, 5)), *model.encode(source, torch.tensor([9, 4, 9, 9]))
        )
    return p


def test_numbers_are_those_of_the_probe():
    p = heard()
    found = dispersion_of(p)
    assert [(each.site, each.head) for each in found] == [
        (site, head) for site in p.sites for head in range(6)
    ]
    numbers, sunk = p.statistics(), p.sinks()
    for each in found:
        of, at = numbers[each.site], sunk[each.site]
        for name in ("entropy", "normalised_entropy", "effective_keys", "distance"):
            told = getattr(of, name)[each.head].item()
            assert getattr(each, name) == (None if math.isnan(told) else told)
        assert (each.distance is None) == ("cross" in each.site)
        assert each.sink_mass == at.mass[each.head].item()
        assert each.value_norm == at.value_norm[each.head].item()
        assert each.output_rank == at.output_rank[each.head].item()
        assert each.sink_key == at.place[each.head].item()
        assert each.sink_kind == at.kinds[each.head]
        call = p.calls(each.site)[0]
        sharp = sharpness([(call.weights, call.shown)], heads=6)
        assert each.top == tuple(sharp.top[:, each.head].tolist())
        assert each.top_keys == tuple(sharp.effective_keys[:, each.head].tolist())
        assert each.largest_score == sharp.largest_score[each.head].item()


def test_json_comes_back_as_it_was():
    for each in dispersion_of(heard()):
        plain = each.to_json()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_what_cannot_be_told_is_none():
    module = Attention(width=12, heads=3).eval()
    with probe(module, heads=[2]) as p, torch.no_grad():
        module(torch.randn(1, 1, 12), torch.randn(1, 1, 12))
    (found,) = dispersion_of(p)
    assert found.head == 2
    assert (found.normalised_entropy, found.sink_mass, found.sink_key, found.sink_kind) == (
        *(None, None, None, None),
    )
    assert found.top == (pytest.approx(1.0), None, None)
    assert found.effective_keys == pytest.approx(1.0)
    assert math.isfinite(found.largest_score or math.nan)


def test_a_site_that_was_not_called_is_left_out():
    with probe(Attention(width=12, heads=3).eval()) as p:
        assert dispersion_of(p) == []


def test_a_mask_and_its_switch_give_the_same():
    torch.manual_seed(0)
    module, x = Attention(width=12, heads=3).eval(), torch.randn(4, 6, 12)
    with probe(module) as p, torch.no_grad():
        module(x, mask=Mask.causal())
    with probe(module) as other:
        module(x, mask=Mask.dense(torch.ones(6, 6).tril().bool()))
    for one, two in zip(dispersion_of(p), dispersion_of(other), strict=True):
        assert one.entropy == pytest.approx(two.entropy, rel=1e-5)
        assert one.top == pytest.approx(two.top, rel=1e-5)
        assert one.sink_mass == pytest.approx(two.sink_mass, rel=1e-5)
