"""The map of pixels that look at pixels is what the module itself says it is."""

from functools import partial

import pytest
import torch

from heedful.nn.vision import NonLocal, Sagan
from heedful.probing.probe import probe
from heedful.testing import tolerance
from heedful.testing.vision import draw, make_mask

MODULES = {
    "sagan": (partial(Sagan, channels=8), 15),
    "non_local": (partial(NonLocal, channels=8), 15),
    "gaussian": (partial(NonLocal, channels=8, affinity="gaussian"), 15),
    "window": (partial(NonLocal, channels=8, window=2), 6),
}
BAND = {"roundings": tolerance.roundings(torch.float64, 8, 8, 15), "largest": 1.0}


def build(name):
    torch.manual_seed(0)
    module = MODULES[name][0]().double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("kind", [None, "scattered"])
@pytest.mark.parametrize("name", MODULES)
def test_map_is_what_the_module_says(name, kind):
    module, x = build(name), draw(2, 8, 5, 3)
    mask = None if kind is None else make_mask(kind, "tall")
    want = module(x, mask=mask)
    with probe(module) as p:
        assert torch.equal(module(x, mask=mask), want)
    assert p.maps("").shape == (2, 1, 15, MODULES[name][1])
    tolerance.assert_close(p.maps("")[:, 0], module.weights(x, mask=mask), **BAND)
    assert p.fidelity()[""].error < 1e-12
    rows = 30 if mask is None else int(mask.sum())
    assert p.statistics()[""].rows.tolist() == [rows]
    assert not {"forward", "mix"} & vars(module).keys()


def test_chosen_rows_are_those_of_the_whole_map():
    module, x, mask = build("sagan"), draw(2, 8, 5, 3), make_mask("scattered", "tall")
    with probe(module) as whole, probe(module, rows=[11, 2]) as few:
        module(x, mask=mask)
    tolerance.assert_close(few.maps(""), whole.maps("")[:, :, [11, 2]], **BAND)
    assert few.fidelity()[""].error < 1e-12


def test_a_site_within_spectral_norm():
    module, x = build("sagan"), draw(2, 8, 5, 3)
    for linear in (module.query, module.key, module.value, module.out):
        torch.nn.utils.parametrizations.spectral_norm(linear)
    with probe(module.eval()) as p:
        module(x)
    tolerance.assert_close(p.maps("")[:, 0], module.weights(x).detach(), **BAND)
