"""heedful's own attention: read, changed and written, it gives what the formula says."""

import copy

import pytest
import torch
from torch import nn

from heedful.allocation.adapters import HeedfulAdapter
from heedful.allocation.adapters.heedful import PLAIN, mixing_of
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.projections import Mixing, Rotary
from heedful.mask import Mask
from heedful.nn import Attention, RelativePositions, RotaryPositions
from heedful.nn.constant import Constant
from heedful.nn.mechanisms import MECHANISMS
from heedful.nn.positions import AlibiPositions
from heedful.testing.tolerance import assert_close

ADAPTER = HeedfulAdapter()
WIDTH, HEADS, DIM, VALUE_DIM = 12, 4, 6, 5


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positions(kind):
    if kind == "rotary":
        return RotaryPositions(DIM, base=50.0)
    return RelativePositions(HEADS, buckets=8, max_distance=6) if kind else None


def make(*, position=None, mechanism=None, **settings):
    sizes = {"width": WIDTH, "heads": HEADS, "dim": DIM, "value_dim": VALUE_DIM}
    if mechanism is not None:
        mechanism = MECHANISMS[mechanism[0]](heads=HEADS, dim=DIM, **mechanism[1])
    attention = Attention(
        **sizes | settings, positions=positions(position), mechanism=mechanism
    ).double()
    with torch.no_grad():
        for seed, parameter in enumerate(attention.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.4)
    return attention


@torch.no_grad()
def write(attention, projections):
    return ADAPTER.write(attention, projections)


def same(actual, want):
    assert_close(actual, want, roundings=500, largest=want.abs().max().item())


every_kind = pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kv_heads": 2},
        {"kv_heads": 1, "position": "rotary"},
        {"position": "relative"},
        {"mechanism": ("window", {"window": 3, "ahead": 1, "sinks": 1})},
        {"mechanism": ("top_k", {"kept": 2, "straight_through": True})},
        {"mechanism": ("block_sparse", {"block": 2, "sinks": 1, "near": 1})},
        {"mechanism": ("paged_decoding", {"pages": 3, "page": 2, "sinks": 0, "recent": 2})},
        {"mechanism": ("scaled_dot", {}), "position": "rotary"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "plain",
)


@every_kind
@torch.no_grad()
def test_what_was_read_is_written_unchanged(settings):
    attention, x = make(**settings), draw(2, 7, WIDTH)
    projections = ADAPTER.read(attention)
    new = write(attention, projections)
    mask = Mask.lengths(torch.tensor([7, 5])) & Mask.causal()
    same(new(x, mask=mask), attention(x, mask=mask))
    assert new.state_dict().keys() == attention.state_dict().keys()
    again = ADAPTER.read(new)
    assert (again.geometry, again.rotary) == (projections.geometry, projections.rotary)
    assert ADAPTER.reason_against(new) is None


@pytest.mark.parametrize("kv_heads", [4, 2])
@torch.no_grad()
def test_projections_are_the_formula(kv_heads):
    attention, x, context = make(kv_heads=kv_heads), draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    site = ADAPTER.read(attention)
    assert str(site.geometry) == ("4 x 6/5" if kv_heads == 4 else "4 on 2 x 6/5")
    assert site.origin == (0, 1, 2, 3)
    output = site.out_bias
    for head in range(HEADS):
        shared = head // site.groups
        query = x @ site.query[head].T + site.query_bias[head]
        key = context @ site.key[shared].T + site.key_bias[shared]
        value = context @ site.value[shared].T + site.value_bias[shared]
        weights = (site.scale * query @ key.mT).softmax(-1)
        output = output + weights @ value @ site.out[head]
    same(attention(x, context), output)


@torch.no_grad()
def test_sizes_and_the_scale_may_change():
    attention, x = make(), draw(2, 7, WIDTH)
    site = ADAPTER.read(attention)
    twice = site.with_(
        query=torch.cat([site.query, site.query], 1),
        query_bias=torch.cat([site.query_bias, site.query_bias], 1),
        key=torch.cat([site.key, site.key], 1),
        key_bias=torch.cat([site.key_bias, site.key_bias], 1),
        scale=site.scale / 2,
    )
    new = write(attention, twice)
    assert new.dim == 2 * DIM
    same(new(x), attention(x))
    none = dict.fromkeys(("query_bias", "key_bias", "value_bias", "out_bias"))
    bare = write(attention, site.with_(**none))
    assert not any(linear.bias.any() for linear in (bare.query, bare.key, bare.value, bare.out))


@every_kind
@torch.no_grad()
def test_dropping_heads_is_zeroing_their_columns(settings):
    attention, x = make(**settings), draw(2, 7, WIDTH)
    new = write(attention, KeepHeads(heads=(2, 3)).edit(ADAPTER.read(attention), None))
    assert new.heads == 2
    masked = copy.deepcopy(attention)
    masked.out.weight[:, : 2 * VALUE_DIM] = 0
    same(new(x, mask=Mask.causal()), masked(x, mask=Mask.causal()))


@pytest.mark.parametrize("buckets, max_distance", [(32, 128), (8, 100)])
def test_distances_stay_in_their_buckets(buckets, max_distance):
    old = RelativePositions(HEADS, buckets=buckets, max_distance=max_distance)
    attention = Attention(width=WIDTH, heads=HEADS, positions=old)
    new = write(attention, KeepHeads(heads=(1, 3)).edit(ADAPTER.read(attention), None)).positions
    assert new.starts == old.starts
    assert torch.equal(new(3, 200), old(3, 200)[:, [1, 3]])


@torch.no_grad()
def test_rotated_pairs_may_become_fewer():
    attention, x = make(position="rotary"), draw(2, 7, WIDTH)
    site, pairs = ADAPTER.read(attention), (0, 2)
    assert site.rotary == Rotary(pairs=(0, 1, 2), whole=6, base=50.0)
    rows = [*pairs, *(pair + 3 for pair in pairs)]
    names = ("query", "key", "query_bias", "key_bias")
    cut = {name: getattr(site, name)[:, rows] for name in names}
    new = write(attention, site.with_(**cut, rotary=Rotary(pairs=pairs, whole=6, base=50.0)))
    masked = copy.deepcopy(attention)
    for linear in (masked.query, masked.key):
        linear.weight.unflatten(0, (HEADS, 6))[:, [1, 4]] = 0
        linear.bias.unflatten(0, (HEADS, 6))[:, [1, 4]] = 0
    assert new.dim == 4
    same(new(x), masked(x))
    assert ADAPTER.read(new).rotary == Rotary(pairs=pairs, whole=6, base=50.0)


@torch.no_grad()
def test_a_site_may_get_a_mechanism():
    attention, x = make(), draw(2, 7, WIDTH)
    mixing = Mixing(name="window", settings={"window": 2})
    new = write(attention, ADAPTER.read(attention).with_(mixing=mixing))
    same(new(x), attention(x, mask=Mask.window(2)))
    assert ADAPTER.read(new).mixing == Mixing(
        name="window", settings={"window": 2, "ahead": 0, "sinks": 0}
    )


@pytest.mark.parametrize("biased", [False, True])
@torch.no_grad()
def test_without_heads_it_is_a_constant(biased):
    attention, x = make().eval().requires_grad_(False), draw(2, 7, WIDTH)
    site = DropSite().edit(ADAPTER.read(attention), None)
    constant = write(attention, site if biased else site.with_(out_bias=None))
    assert isinstance(constant, Constant)
    assert not constant.training
    assert not constant.vector.requires_grad
    want = attention.out.bias if biased else torch.zeros(WIDTH)
    assert torch.equal(constant(x), want.expand(2, 7, WIDTH).to(x))
    again = ADAPTER.read(constant)
    assert again.geometry.heads == 0
    assert torch.equal(again.out_bias, constant.vector)
    assert ADAPTER.reason_against(constant) == "it was dropped already"


@pytest.mark.parametrize("dropped", [False, True])
def test_dtype_mode_and_gradients_stay(dropped):
    attention = make().to(torch.bfloat16).eval().requires_grad_(False)
    site = ADAPTER.read(attention)
    assert site.query.dtype == site.out_bias.dtype == torch.float32
    site = DropSite().edit(site, None) if dropped else site
    new = write(attention, site)
    assert {parameter.dtype for parameter in new.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in new.parameters())
    assert not any(part.training for part in new.modules())
    other = write(make(dropout=0.25), site)
    assert all(parameter.requires_grad for parameter in other.parameters())
    assert other.training
    if not dropped:
        assert other.dropout == 0.25


def test_what_is_read_is_a_copy():
    attention = make()
    site = ADAPTER.read(attention)
    before = {name: value.clone() for name, value in attention.state_dict().items()}
    for tensor in vars(site).values():
        if isinstance(tensor, torch.Tensor):
            assert not tensor.requires_grad
            tensor.zero_()
    for name, value in attention.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_taps_are_the_projections():
    attention = make()
    hook_points = ADAPTER.hook_points(attention)
    assert (hook_points.query, hook_points.context, hook_points.out) == (
        attention.query,
        attention.key,
        attention.out,
    )


def test_claims_its_own():
    assert ADAPTER.claims(make())
    assert ADAPTER.claims(Constant(WIDTH))
    assert not ADAPTER.claims(nn.MultiheadAttention(WIDTH, HEADS))


@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_only_what_learns_nothing_is_made_anew(name):
    mechanism = MECHANISMS[name](heads=HEADS, dim=DIM)
    mixing = mixing_of(mechanism)
    reason = ADAPTER.reason_against(
        Attention(width=WIDTH, heads=HEADS, dim=DIM, mechanism=mechanism)
    )
    if name in PLAIN:
        assert not list(mechanism.parameters())
        assert mixing.name == name
        again = mixing_of(MECHANISMS[name](heads=2, dim=DIM, **mixing.settings))
        assert again == mixing
        assert reason is None
    else:
        assert mixing is None
        assert reason == f"{type(mechanism).__name__} has parameters that belong to its heads"


def test_slopes_belong_to_a_number_of_heads():
    attention = Attention(width=WIDTH, heads=HEADS, positions=AlibiPositions(HEADS))
    reason = "its scores fall with the distance at slopes that belong to a number of heads"
    assert ADAPTER.reason_against(attention) == reason


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({}, None),
        ({"position": "rotary"}, None),
        ({"position": "relative"}, "its positions add to the scores, which no mechanism takes"),
        ({"dropout": 0.25}, "its dropout is 0.25, and no mechanism drops weights"),
    ],
)
def test_refuses_a_mechanism_where_it_does_not_go(settings, reason):
    attention = make(**settings)
    site = ADAPTER.read(attention)
    assert ADAPTER.why_not(attention, site) is None
    assert ADAPTER.why_not(attention, site.with_(mixing=Mixing(name="window"))) == reason
    assert ADAPTER.why_not(attention, DropSite().edit(site, None)) is None
