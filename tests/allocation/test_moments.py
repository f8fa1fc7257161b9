"""What went through a site: the sums are those of its inputs, and no hook stays."""

import pytest
import torch
from torch import nn

from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import DropSite
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.mask import Mask
from heedful.nn import Attention

WIDTH, HEADS, DIM, VALUE_DIM = 12, 4, 3, 5


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = {"width": WIDTH, "heads": HEADS, "dim": DIM, "value_dim": VALUE_DIM}
        self.own, self.cross = Attention(**sizes), Attention(**sizes)
        self.idle = Attention(**sizes)

    def forward(self, x, context):
        return self.cross(self.own(x), context)


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moments(*inputs):
    """`sum x x^T` of all rows of all inputs, each with a 1 behind it, in float64."""
    rows = torch.cat([x.detach().double().flatten(0, -2) for x in inputs])
    rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1).numpy()
    return torch.from_numpy(rows.T @ rows)


def close(actual, want):
    assert actual.dtype == torch.float64
    # products in float32, sums of them in float64
    torch.testing.assert_close(actual, want, rtol=1e-5, atol=1e-5 * want.abs().max().item())


@torch.no_grad()
def test_sums_are_those_of_everything_that_went_through():
    model, mixed = Model(), []
    runs = [(draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)), (draw(1, 3, WIDTH), draw(1, 4, WIDTH))]
    sites = find_sites(model)[0]
    model.cross.out.register_forward_pre_hook(lambda module, args: mixed.append(args[0]))
    seen = collect_moments(model, sites, [lambda run=run: model(*run) for run in runs])
    assert list(seen) == ["own", "cross"]  # nothing ran through the other one
    assert seen["own"].rows == seen["cross"].rows == 2 * 5 + 3
    close(seen["own"].query, moments(*(x for x, _ in runs)))
    close(seen["cross"].query, moments(*(model.own(x) for x, _ in runs)))
    close(seen["cross"].context, moments(*(context for _, context in runs)))
    close(seen["cross"].mixed, moments(*mixed))
    assert seen["cross"].mixed.shape == (HEADS * VALUE_DIM + 1, HEADS * VALUE_DIM + 1)


def test_a_site_looks_at_its_own_text_or_at_another():
    model, x, context = Model(), draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    sites = find_sites(model)[0]
    seen = collect_moments(model, sites, [lambda: model(x, context)])
    assert seen["own"].self_attention
    assert not seen["cross"].self_attention
    both = [lambda: model.own(x), lambda: model.own(x, context)]
    assert not collect_moments(model, sites, both)["own"].self_attention


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_stays(fails):
    model, x = Model(), draw(2, 5, WIDTH)

    def run():
        model(x, x)
        if fails:
            raise KeyError("the calibration data ended")

    if fails:
        with pytest.raises(KeyError):
            collect_moments(model, find_sites(model)[0], [run])
    else:
        collect_moments(model, find_sites(model)[0], [run])
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_no_graph_is_built_and_no_gradient_stays():
    model, x = Model(), draw(2, 5, WIDTH).requires_grad_()
    seen = collect_moments(model, find_sites(model)[0], [lambda: model(x, x)])
    assert not seen["own"].mixed.requires_grad
    assert x.grad is None


def test_dropped_sites_are_not_listened_to():
    model, x = Model(), draw(2, 5, WIDTH)
    sites = find_sites(model)[0]
    new = Plan(moves={"own": (DropSite(),)}).apply(model)
    assert list(collect_moments(new, sites, [lambda: new(x, x)])) == ["cross"]


def test_half_precision_is_summed_widely():
    model, x = Model().bfloat16(), draw(1, 300, WIDTH).bfloat16()
    seen = collect_moments(model, find_sites(model)[0], [lambda: model(x, x)])
    assert seen["own"].query[-1, -1] == 300  # not a number of bfloat16's
    close(seen["own"].query, moments(x))


@torch.no_grad()
def test_values_may_be_made_of_other_vectors_than_keys():
    x, other = draw(2, 5, WIDTH), draw(2, 5, WIDTH, seed=2)
    model = nn.ModuleDict({"site": nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)})
    apart = unfused(model)
    seen = collect_moments(apart, find_sites(apart)[0], [lambda: apart["site"](x, x, other)])[
        "site"
    ]
    close(seen.query, moments(x))
    close(seen.context, moments(x))
    close(seen.values, moments(other))


@torch.no_grad()
@pytest.mark.parametrize("padding", ["boolean", "numbers"])
def test_padding_does_not_count_in_layers_of_torch(padding):
    x, absent = draw(2, 5, WIDTH), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    mask = absent if padding == "boolean" else torch.zeros(2, 5).masked_fill(absent, -torch.inf)
    model = nn.ModuleDict({"site": nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)})
    apart = unfused(model)
    sites = find_sites(apart)[0]
    seen = collect_moments(apart, sites, [lambda: apart["site"](x, x, x, key_padding_mask=mask)])[
        "site"
    ]
    there = x[~absent][None]
    close(seen.query, moments(there))
    close(seen.context, moments(there))
    assert seen.rows == seen.mixed[-1, -1] == 8
    other = draw(2, 4, WIDTH, seed=2)
    run = [lambda: apart["site"](other, x, x, key_padding_mask=mask)]
    seen = collect_moments(apart, sites, run)["site"]
    close(seen.query, moments(other))
    close(seen.values, moments(there))


@torch.no_grad()
def test_padding_does_not_count_in_attention_of_ours():
    model, x, context = Model(), draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    lengths = torch.tensor([5, 3])
    mask = Mask.lengths(lengths)

    def run():
        model.own(x, mask=mask & Mask.causal())
        model.cross(x, context, mask=mask)

    seen = collect_moments(model, find_sites(model)[0], [run])
    there = torch.cat([x[0], x[1, :3]])[None]
    close(seen["own"].query, moments(there))
    close(seen["own"].values, moments(there))
    assert seen["own"].rows == 8
    close(seen["cross"].query, moments(x))
    close(seen["cross"].context, moments(torch.cat([context[0, :5], context[1, :3]])[None]))
