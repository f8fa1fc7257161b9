"""The map of an aligner is what it returned, step by step."""

import pytest
import torch

from heedful.mask import Mask
from heedful.models import RnnSeq2Seq
from heedful.nn.aligners import ALIGNERS, aligner
from heedful.probing.probe import probe

MASK = Mask.lengths(torch.tensor([5, 3]))


def build(name, **settings):
    torch.manual_seed(0)
    sizes = {"source_size": 11, "target_size": 13, "width": 6, "hidden": 4, **settings}
    return RnnSeq2Seq(attention=name, **sizes).eval()


def states(length, width, dtype=torch.float32):
    return torch.randn(2, length, width, generator=torch.Generator().manual_seed(length)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ALIGNERS)
def test_a_map_is_what_was_returned(name, dtype):
    module = aligner(name, query_width=4, key_width=8, hidden=7).to(dtype)
    query, key = states(1 if module.stepwise else 3, 4, dtype), states(5, 8, dtype)
    with probe(module) as p:
        weights = module(query, module.prepare(key), mask=MASK)
    assert p.sites == [""]
    assert torch.equal(p.maps(""), weights.detach()[:, None].to(p.maps("").dtype))
    assert p.maps("").dtype == torch.promote_types(dtype, torch.float32)
    assert p.fidelity()[""].error == 0.0
    assert p.fidelity()[""].compared == "the weights that the module returned"
    assert "forward" not in vars(module)


def test_chosen_rows_and_what_is_visible():
    module = aligner("dot", query_width=4, key_width=8, hidden=7)
    query, key = states(3, 4), states(5, 8)
    with probe(module, rows=[2, 0]) as p:
        weights = module(query, module.prepare(key), mask=MASK)
    assert torch.equal(p.maps("")[:, 0], weights[:, [2, 0]].detach())
    assert p.calls("")[0].shape == (2, 1, 2, 5)
    found = p.statistics(ordered=None)[""]
    shares = weights[:, [2, 0]].detach().double()
    entropy = -(shares * shares.clamp(min=1e-30).log()).sum(-1)
    room = torch.tensor([5.0, 3.0]).log()[:, None]
    torch.testing.assert_close(
        found.normalised_entropy[0], (entropy / room).mean(), rtol=1e-5, atol=0
    )
    assert found.error == 0.0


@pytest.mark.parametrize("input_feeding", [True, False])
def test_every_step_of_a_decoder_is_a_call(input_feeding):
    model = build("additive", input_feeding=input_feeding)
    source, target = torch.full((2, 5), 4), torch.full((2, 3), 7)
    with probe(model) as p:
        model(source, torch.tensor([5, 3]), target)
    assert p.sites == ["aligner"]
    shapes = [call.shape for call in p.calls("aligner")]
    assert shapes == ([(2, 1, 1, 5)] * 3 if input_feeding else [(2, 1, 3, 5)])
