"""Whoever listens gets components last and heads one behind the other, and may answer so."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from heedful.allocation.adapters.structure.find import find
from heedful.allocation.adapters.structure.listening import Heard, HeardProduct, heard

from .toy import Toy
from .vision import Beit, Nest, Pointwise

ORDER = torch.tensor([2, 0, 1])
ORDER_OF_12 = torch.arange(12).flip(0)


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


def test_a_layer_that_never_runs_is_heard_where_its_site_multiplies_by_its_weight():
    site, x = Beit(), torch.ones(1, 4, 12)
    whole = site(x)
    path = find(site).query.path
    layer = site.get_submodule(path)
    found, handle = listen(HeardProduct(site, layer, ORDER_OF_12).register_forward_pre_hook)
    after, other = listen(HeardProduct(site, layer).register_forward_hook)
    assert torch.equal(site(x), whole)
    site(x=x + torch.arange(12.0))
    assert [given[1][0].max().item() for given in found] == [1.0, 12.0]
    assert torch.equal(found[1][1][0], (x + torch.arange(12.0))[..., ORDER_OF_12])
    assert [given[2].shape[-1] for given in after] == [len(layer.weight)] * 2
    handle.remove()
    other.remove()
    functional.linear(x, layer.weight)
    site(x)
    assert (len(found), len(after)) == (2, 2)


def test_what_hooks_of_a_layer_that_never_runs_return_counts():
    site, x = Beit(), torch.randn(1, 4, 12)
    layer = site.get_submodule(find(site).query.path)
    heard_layer = HeardProduct(site, layer)
    double = heard_layer.register_forward_pre_hook(lambda _, args: (2 * args[0],))
    twice = site(x)
    double.remove()
    torch.testing.assert_close(twice, site(2 * x))
    nothing = heard_layer.register_forward_hook(lambda *given: 0 * given[2])
    silent = site(x)
    nothing.remove()
    torch.testing.assert_close(silent, silent[:, :1].expand_as(silent))


def test_a_site_that_fails_leaves_nothing_behind():
    site = Beit()
    layer = site.get_submodule(find(site).query.path)
    found, handle = listen(HeardProduct(site, layer).register_forward_pre_hook)
    with pytest.raises(RuntimeError):
        site(torch.ones(1, 4, 5))
    functional.linear(torch.ones(1, 12), layer.weight)
    assert not found or found[0][1][0].shape[-1] == 5
    handle.remove()


def test_only_what_must_be_turned_is():
    kinds = {
        kind: [type(x) for x in heard(kind(), find(kind())).values()]
        for kind in (Toy, Nest, Pointwise, Beit)
    }
    assert kinds[Toy] == [nn.Linear] * 4
    assert kinds[Nest] == [nn.Linear, Heard]
    assert kinds[Pointwise] == [Heard, Heard]
    assert kinds[Beit] == [HeardProduct, nn.Linear]
    assert list(nn.ModuleList([Heard(nn.Linear(2, 2))]).parameters()) == []
