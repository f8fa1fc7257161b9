"""The attention of timm's Vision Transformers, by a class of the same parts where timm is not."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from heedful.allocation.adapters import TimmAdapter
from heedful.allocation.adapters.timm import SeparableTimm
from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.testing.tolerance import assert_close

ADAPTER = TimmAdapter()
WIDTH, HEADS, DIM = 12, 4, 5


class Attention(nn.Module):
    """What `timm.layers.attention.Attention` of timm 1.0.31 has, and computes."""

    def __init__(self, *, bias=True, dropout=0.0, out=WIDTH, dim=DIM):
        super().__init__()
        self.num_heads, self.head_dim = HEADS, dim
        self.qkv = nn.Linear(WIDTH, 3 * HEADS * dim, bias=bias)
        self.q_norm, self.k_norm, self.norm = nn.Identity(), nn.Identity(), nn.Identity()
        self.gate = None
        self.attn_drop = nn.Dropout(dropout)
        self.proj = nn.Linear(HEADS * dim, out, bias=bias)
        self.proj_drop = nn.Dropout(dropout)

    def forward(self, x, attn_mask=None, is_causal=False):
        joined = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        dropout = self.attn_drop.p if self.training else 0.0
        mixed = scaled_dot_product_attention(
            query, key, value, attn_mask=attn_mask, dropout_p=dropout, is_causal=is_causal
        )
        return self.proj_drop(self.proj(mixed.transpose(1, 2).flatten(2)))


Attention.__module__ = "timm.layers.attention"


class Block(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.norm, self.attn = nn.LayerNorm(WIDTH), Attention(**settings)

    def forward(self, x, attn_mask=None, is_causal=False):
        return x + self.attn(self.norm(x), attn_mask=attn_mask, is_causal=is_causal)


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(**settings):
    block = Block(**settings).double()
    with torch.no_grad():
        for seed, parameter in enumerate(block.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.4)
    return block


def same(actual, want):
    assert_close(actual, want, roundings=500, largest=want.abs().max().item())


SEES = torch.ones(7, 7).tril(2).bool()
EACH = draw(2, HEADS, 7, 7, seed=4) < 1
EACH[..., 0] = True
MASKS = {
    "none": {},
    "causal": {"is_causal": True},
    "pairs": {"attn_mask": SEES},
    "three axes": {"attn_mask": EACH[0]},
    "each head": {"attn_mask": EACH},
    "padding": {"attn_mask": (torch.arange(7) < torch.tensor([7, 4])[:, None])[:, None, None]},
    "numbers": {"attn_mask": draw(2, HEADS, 7, 7, seed=5).masked_fill(~EACH, -torch.inf)},
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mask", MASKS)
def test_gives_the_same_numbers(mask, bias, training):
    model, x = make(bias=bias).train(training), draw(2, 7, WIDTH)
    new = unfused(model)
    assert isinstance(new.attn, SeparableTimm)
    same(new(x, **MASKS[mask]), model(x, **MASKS[mask]))


def zeroed(model, heads):
    masked = copy.deepcopy(model)
    with torch.no_grad():
        for head in heads:
            masked.attn.proj.weight[:, head * DIM : (head + 1) * DIM] = 0
    return masked


@pytest.mark.parametrize("mask", MASKS)
def test_dropping_heads_is_zeroing_their_columns(mask):
    model, x = make(), draw(2, 7, WIDTH)
    new = Plan(moves={"attn": (KeepHeads(heads=(1, 2, 3)), KeepHeads(heads=(0, 2)))}).apply(model)
    assert new.attn.num_heads == 2
    want = zeroed(model, (0, 2))(x, **MASKS[mask])
    same(new(x, **MASKS[mask]), want)
    again = unfused(new)  # masks are still those of the original heads
    same(again(x, **MASKS[mask]), want)


def test_dropping_the_site_is_zeroing_all_of_it():
    model, x = make().eval(), draw(2, 7, WIDTH)
    new = Plan(moves={"attn": (DropSite(),)}).apply(model)
    assert list(new.attn.state_dict()) == ["core.vector"]
    for mask in MASKS.values():
        same(new(x, **mask), zeroed(model, range(4))(x, **mask))
    assert find_sites(new) == ([], {"attn": "it was dropped already"})
    assert ADAPTER.read(new.attn).geometry.heads == 0
    assert ADAPTER.why_not(new.attn, ADAPTER.read(new.attn)) is None


@pytest.mark.parametrize("heads", [1, 3])
def test_parameters_become_fewer_by_what_heads_have(heads):
    def count(model):
        return sum(parameter.numel() for parameter in model.parameters())

    model = make()
    new = Plan(moves={"attn": (KeepHeads(heads=tuple(range(heads))),)}).apply(model)
    assert count(model) - count(new) == (HEADS - heads) * (4 * DIM * WIDTH + 3 * DIM)


def test_both_dropouts_act_in_training_only():
    torch.manual_seed(0)
    model, x = make(dropout=0.5), draw(2, 7, WIDTH)
    new = unfused(model)
    assert new.attn.core.dropout == 0.5
    assert not torch.equal(new(x), new(x))
    assert ((new(x) - x) == 0).double().mean() > 0.2  # that of the output
    same(new.eval()(x), model.eval()(x))


def test_dtype_mode_and_gradients_stay():
    model = make().to(torch.bfloat16).eval().requires_grad_(False)
    new = unfused(model)
    assert {parameter.dtype for parameter in new.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in new.parameters())
    assert not any(part.training for part in new.modules())
    assert all(parameter.requires_grad for parameter in unfused(make()).parameters())


def test_what_went_through_is_seen():
    model, x = unfused(make()), draw(2, 7, WIDTH)
    sites, _ = find_sites(model)
    seen = collect_moments(model, sites, [lambda: model(x)])["attn"]
    assert seen.rows == 14
    assert seen.mixed.shape == (HEADS * DIM + 1, HEADS * DIM + 1)
    looks = model.norm(x).detach().flatten(0, 1)
    # the sums are of float32
    torch.testing.assert_close(seen.query[:-1, :-1], looks.T @ looks, rtol=1e-5, atol=1e-5)
    assert torch.equal(seen.query, seen.context)


@torch.no_grad()
def test_a_mechanism_mixes_instead():
    model, x = make(), draw(2, 7, WIDTH)
    window = ADAPTER.read(model.attn).with_(mixing=Mixing(name="window", settings={"window": 3}))
    new = ADAPTER.write(model.attn, window)
    sees = torch.ones(7, 7).tril().triu(-2).bool()
    same(new(x), model.attn(x, attn_mask=sees))
    assert ADAPTER.read(new).mixing == window.mixing
    assert ADAPTER.reason_against(new) is None
    with pytest.raises(UnsupportedError, match="a mask must only hide where Window mixes"):
        new(x, attn_mask=draw(7, 7))
    message = "its dropout is 0.25, and no mechanism drops weights"
    assert ADAPTER.why_not(make(dropout=0.25).attn, window) == message
    assert ADAPTER.why_not(unfused(make(dropout=0.25)).attn, window) == message
    pages = window.with_(mixing=Mixing(name="paged_decoding"))
    message = "paged_decoding chooses by what only the cache of heedful keeps"
    assert ADAPTER.why_not(make().attn, pages) == message


class Elsewhere(nn.Module):
    """Another class of the same name."""


Elsewhere.__name__ = "Attention"
Elsewhere.__module__ = "timm.models.beit"


def test_claims_one_class_by_its_name():
    assert ADAPTER.claims(Attention())
    assert ADAPTER.claims(unfused(make()).attn)
    assert not ADAPTER.claims(Elsewhere())
    assert not ADAPTER.claims(nn.Linear(2, 3))


@pytest.mark.parametrize("name", ["q_norm", "k_norm", "norm", "gate"])
def test_leaves_what_does_more_to_those_who_find_heads(name):
    attention = Attention()
    setattr(attention, name, nn.LayerNorm(DIM))
    assert not ADAPTER.claims(attention)


def test_says_why_not():
    assert ADAPTER.reason_against(Attention()) is None
    wide = ADAPTER.reason_against(Attention(out=9))
    assert wide == "it makes vectors of 9 numbers from such of 12"


def test_rejects_a_mask_with_the_causal_switch():
    message = "attn_mask must be None with is_causal, got one of shape (7, 7)"
    with pytest.raises(ConfigError, match=re.escape(message)):
        unfused(make())(draw(2, 7, WIDTH), attn_mask=SEES, is_causal=True)


def test_rejects_a_mask_that_does_not_fit():
    with pytest.raises(ShapeError, match="queries=7 entries on its queries axis, got shape"):
        unfused(make())(draw(2, 7, WIDTH), attn_mask=SEES[:5])


def test_the_real_one():
    timm = pytest.importorskip("timm", reason="timm is not installed")
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, depth=2).eval()
    sites, unknown = find_sites(model)
    assert [site.name for site in sites] == ["blocks.0.attn", "blocks.1.attn"]
    assert not unknown
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        same(unfused(model)(image), model(image))
