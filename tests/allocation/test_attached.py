"""What a module is beyond its weights stays, or is named where it would be lost."""

import copy
import re
from threading import Lock

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

from heedful.allocation.attached import copied
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.errors import UnsupportedError
from heedful.nn import Attention

WIDTH = 12


class Torch(nn.Module):
    def __init__(self):
        super().__init__()
        self.site = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.linear(self.site(x, key=x, value=x, need_weights=False)[0])


class Own(Torch):
    def __init__(self):
        super().__init__()
        self.site = Attention(width=WIDTH, heads=4)

    def forward(self, x):
        return self.linear(self.site(x))


KINDS = pytest.mark.parametrize("kind", [Torch, Own])


def make(kind):
    torch.manual_seed(1)
    return kind().double().eval()


def x():
    return torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(2)).double()


def times(out, factor):
    return (out[0] * factor, *out[1:]) if isinstance(out, tuple) else out * factor


def after(model, heard):
    model.site.register_forward_hook(lambda module, args, out: times(out, 2))


def before(model, heard):
    model.site.register_forward_pre_hook(lambda module, args: tuple(t * 0.5 for t in args))


def with_keywords(model, heard):
    def hook(module, args, kwargs, out):
        heard.append(len(args) + len(kwargs))
        return times(out, 3)

    model.site.register_forward_hook(hook, with_kwargs=True, always_call=True)


def backward(model, heard):
    model.site.register_full_backward_hook(lambda module, into, out: heard.append(len(out)))


def before_backward(model, heard):
    model.site.register_full_backward_pre_hook(lambda module, out: heard.append(len(out)))


@KINDS
@pytest.mark.parametrize("hook", [after, before, with_keywords, backward, before_backward])
@pytest.mark.parametrize("moves", [None, (KeepHeads(heads=(0, 1, 2, 3)),)], ids=["apart", "kept"])
def test_hooks_on_a_site_stay(kind, hook, moves):
    model, heard, known = make(kind), [], make(kind)
    plain = known(x())
    hook(model, heard)
    new = unfused(model) if moves is None else Plan(moves={"site": moves}).apply(model)
    want = model(x().requires_grad_())
    want.sum().backward()
    once = list(heard)
    heard.clear()
    out = new(x().requires_grad_())
    out.sum().backward()
    assert heard == once
    torch.testing.assert_close(out, want)
    assert hook in (backward, before_backward) or not torch.allclose(want, plain)
    model(x().requires_grad_()).sum().backward()  # those of the original are its own still
    assert heard == once * 2


@KINDS
def test_a_dropped_site_is_heard_as_well(kind):
    model, heard = make(kind), []
    with_keywords(model, heard)
    Plan(moves={"site": (DropSite(),)}).apply(model)(x())
    assert len(heard) == 1


def out_of(model):
    return model.site.out if isinstance(model, Own) else model.site.out_proj


def hooked(model):
    out_of(model).register_forward_hook(lambda module, args, out: out)


def listening(model):
    out_of(model).register_full_backward_hook(lambda module, into, out: None)


def stored(model):
    model.site.register_state_dict_post_hook(lambda *args: None)


def loaded(model):
    out_of(model).register_load_state_dict_pre_hook(lambda *args: None)


def replaced(model):
    model.site.forward = model.site.forward


def pruned(model):
    prune.l1_unstructured(out_of(model), "weight", amount=0.5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def normed(model):
    weight_norm(out_of(model))


def parametrised(model):
    parametrizations.orthogonal(out_of(model))


def quantised(model):
    class Int8Tensor(torch.Tensor):
        pass

    weight = out_of(model).weight.detach().as_subclass(Int8Tensor)
    out_of(model).register_parameter("weight", nn.Parameter(weight, requires_grad=False))


def whole(model):
    weight = nn.Parameter(torch.ones(WIDTH, WIDTH, dtype=torch.int8), requires_grad=False)
    out_of(model).register_parameter("weight", weight)


class Adapter(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.base_layer = inner
        self.weight, self.bias = inner.weight, inner.bias


Adapter.__module__ = "peft.tuners.lora.layer"


class Other(nn.Linear):
    """Some linear layer of somebody's."""


def adapted(model):
    name = "out" if isinstance(model, Own) else "out_proj"
    setattr(model.site, name, Adapter(out_of(model)))


def other(model):
    name = "out" if isinstance(model, Own) else "out_proj"
    setattr(model.site, name, Other(WIDTH, WIDTH).double())


def tied(model):
    model.linear.weight = out_of(model).weight


REASONS = {
    hooked: r"its out\w* has a hook \(hooked.<locals>.<lambda>\), which would be lost",
    listening: r"its out\w* has a hook \(listening.<locals>",
    stored: r"it has a hook \(stored.<locals>",
    loaded: r"its out\w* has a hook",
    replaced: "it has a forward of its own",
    pruned: r"its out\w* has a weight that is made anew .*; call torch.nn.utils.prune.remove first",
    normed: r"its out\w* has a weight .*; call torch.nn.utils.remove_weight_norm first",
    parametrised: r"its out\w* is parametrised; .*remove_parametrizations",
    quantised: r"its out\w* has a weight that is a Int8Tensor, which cannot be cut",
    whole: r"its out\w* has a weight of torch.int8, which cannot be cut",
    adapted: r"its out\w*: Adapter of peft stands around it; merge the adapter first",
    other: r"its out\w* is a Other, which cannot be cut",
    tied: r"its out\w*.weight is tied to linear.weight, and would come apart from it",
}


@KINDS
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("change", REASONS, ids=lambda change: change.__name__)
def test_what_would_be_lost_is_named(kind, change):
    model = make(kind)
    assert find_sites(model)[1] == {}
    change(model)
    sites, unknown = find_sites(model)
    assert sites == []
    assert re.match(REASONS[change], unknown["site"])
    with pytest.raises(UnsupportedError, match=f"site cannot be changed: {REASONS[change]}"):
        Plan(moves={"site": (DropSite(),)}).apply(model)
    if change not in (quantised, whole, adapted):
        torch.testing.assert_close(unfused(model)(x()), model(x()))


def test_an_adapter_around_a_site_is_named():
    model = make(Torch)
    inner, model.site = model.site, nn.Module()
    model.site.__class__ = type("Multihead", (nn.Module,), {"__module__": "peft.tuners.lora.layer"})
    model.site.base_layer = inner
    sites, unknown = find_sites(model)
    assert sites == []
    assert unknown["site.base_layer"].startswith("Multihead of peft stands around it; merge the")


def test_two_sites_with_one_weight_do_not_come_apart():
    model = nn.ModuleList([make(Torch), make(Torch)])
    model[1].site.in_proj_weight = model[0].site.in_proj_weight
    sites, unknown = find_sites(model)
    assert sites == []
    assert unknown == {
        "0.site": "its in_proj_weight is tied to 1.site.in_proj_weight, and would come apart "
        "from it",
        "1.site": "its in_proj_weight is tied to 0.site.in_proj_weight, and would come apart "
        "from it",
    }
    model[1].site.in_proj_weight = nn.Parameter(model[0].site.in_proj_weight.detach())
    assert find_sites(model)[0] == []  # two parameters, one memory


def test_a_class_that_does_something_else_is_no_site_of_ours():
    class Doubled(Attention):
        def forward(self, *args, **given):
            return 2 * super().forward(*args, **given)

    class Named(Attention):
        def __init__(self):
            super().__init__(width=WIDTH, heads=4)

    model = nn.ModuleDict({"a": Doubled(width=WIDTH, heads=4), "b": Named()})
    sites, unknown = find_sites(model)
    assert [site.name for site in sites] == ["b"]
    assert unknown == {"a": "its class Doubled has a forward of its own"}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("change", ["pruned", "normed"])
def test_weights_that_are_made_anew_elsewhere_are_copied(change):
    model = make(Own)
    if change == "pruned":
        prune.random_unstructured(model.linear, "weight", amount=0.5)
    else:
        weight_norm(model.linear)
    model(x())
    with pytest.raises(RuntimeError):
        copy.deepcopy(model)
    new = copied(model)
    torch.testing.assert_close(new(x()), model(x()))
    with torch.no_grad():
        for parameter in new.linear.parameters():
            parameter.mul_(2)
    assert not torch.allclose(new(x()), model(x()))
    smaller = Plan(moves={"site": (KeepHeads(heads=(1,)),)}).apply(model)
    assert smaller.site.heads == 1


def test_what_cannot_be_copied_is_said():
    model = make(Own)
    model.lock = Lock()
    with pytest.raises(UnsupportedError, match=r"copy.deepcopy can copy, got Own: cannot pickle"):
        unfused(model)
