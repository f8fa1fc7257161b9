"""Whoever listens gets components last and heads one behind the other, and may answer so."""

import torch
from torch import nn

from heedful.allocation.adapters.structure.find import find
from heedful.allocation.adapters.structure.listening import Heard, HeardSite, heard

from .toy import Toy
from .vision import Beit, Nest, Pointwise

ORDER = torch.tensor([2, 0, 1])


def listen(register):
    """What was heard, once, and how to stop listening."""
    found = []
    return found, register(lambda *given: found.append(given))


def test_an_input_is_heard_in_its_order_and_answered_in_it():
    layer, x = nn.Linear(3, 5), torch.arange(6.0).view(2, 3)
    found, handle = listen(Heard(layer, ORDER).register_forward_pre_hook)
    want = layer(x)
    ((module, (given,)),) = found
    assert module is layer
    assert torch.equal(given, x[:, ORDER])
    handle.remove()
    Heard(layer, ORDER).register_forward_pre_hook(lambda _, args: (args[0], *args[1:]))
    assert torch.equal(layer(x), want)


def test_an_image_is_heard_with_components_last():
    layer, x = nn.Conv2d(3, 5, 1), torch.randn(2, 3, 4, 6)
    found, handle = listen(Heard(layer, ORDER).register_forward_pre_hook)
    after, other = listen(Heard(layer).register_forward_hook)
    want = layer(x)
    assert torch.equal(found[0][1][0], x.movedim(1, -1)[..., ORDER])
    assert torch.equal(after[0][2], want.movedim(1, -1))
    handle.remove()
    other.remove()
    Heard(layer).register_forward_hook(lambda *given: given[2] + 1)
    assert torch.equal(layer(x), want + 1)


def test_a_layer_that_never_runs_is_heard_with_its_site():
    site, x = Beit(), torch.ones(1, 4, 12)
    found, _ = listen(HeardSite(site, "x").register_forward_pre_hook)
    site(x)
    site(x=x + 1)
    assert [given[1][0].max().item() for given in found] == [1.0, 2.0]


def test_only_what_must_be_turned_is():
    kinds = {
        kind: [type(x) for x in heard(kind(), find(kind())).values()]
        for kind in (Toy, Nest, Pointwise, Beit)
    }
    assert kinds[Toy] == [nn.Linear] * 4
    assert kinds[Nest] == [nn.Linear, Heard]
    assert kinds[Pointwise] == [Heard, Heard]
    assert kinds[Beit] == [HeardSite, nn.Linear]
    assert list(nn.ModuleList([Heard(nn.Linear(2, 2))]).parameters()) == []
