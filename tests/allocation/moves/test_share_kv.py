"""Heads that differ by a turn merge without a trace; others merge better than by the plain mean."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from heedful.allocation.moments import Moments, collect_moments
from heedful.allocation.moves import DropSite, ShareKeyValue
from heedful.allocation.moves._align import align, regrouped
from heedful.allocation.plan import Plan, parse_plan, unfused
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.nn import Attention
from heedful.nn.positions import RelativePositions, RotaryPositions

WIDTH, HEADS, KV_HEADS, DIM, VALUE_DIM = 10, 8, 4, 4, 6
POSITIONS = {
    "none": lambda: None,
    "rotary": lambda: RotaryPositions(DIM),
    "relative": lambda: RelativePositions(HEADS, buckets=4, max_distance=5),
}


class Alone(nn.Module):
    def __init__(self, site):
        super().__init__()
        self.site = site

    def forward(self, x, context=None):
        return self.site(x, context)


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(seed=1, rows=60):
    """Inputs with a mean, and much more in some directions than in others."""
    return draw(1, rows, WIDTH, seed=seed) * torch.linspace(0.1, 2, WIDTH) + draw(WIDTH, seed=2)


def make(positions="none", seed=3):
    module = Attention(
        width=WIDTH,
        heads=HEADS,
        kv_heads=KV_HEADS,
        dim=DIM,
        value_dim=VALUE_DIM,
        positions=POSITIONS[positions](),
    )
    module.double()
    for i, parameter in enumerate(module.parameters()):
        parameter.data = draw(*parameter.shape, seed=seed + i) * 0.5
    return Alone(module)


def moment(x):
    rows = nn.functional.pad(x.flatten(0, -2), (0, 1), value=1.0)
    return rows.T @ rows


def seen_of(x, context=None):
    context = x if context is None else context
    return Moments(query=moment(x), context=moment(context), mixed=None, rows=x.shape[1])


def turn(size, seed, pairs=False):
    """An orthogonal matrix; with `pairs` one that turns only components half a head apart."""
    if not pairs:
        return torch.linalg.qr(draw(size, size, seed=seed)).Q
    angle = draw(size // 2, seed=seed)
    cos, sin = angle.cos().diag(), angle.sin().diag()
    return torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)])


def doubled(model, positions):
    """The model in which key/value heads 2 and 3 are 0 and 1 again, in other bases."""
    [site], _ = find_sites(model)
    old = site.read(model)
    first, shared, pairs = KV_HEADS // 2, HEADS // KV_HEADS, positions == "rotary"
    keys = [*(torch.eye(DIM).double(),) * first, *(turn(DIM, s, pairs) for s in (31, 32))]
    values = [*(torch.eye(VALUE_DIM).double(),) * first, *(turn(VALUE_DIM, s) for s in (41, 42))]
    source = [j % first for j in range(KV_HEADS)]
    heads = range(HEADS)
    new = old.with_(
        key=torch.stack([r @ old.key[j] for r, j in zip(keys, source, strict=True)]),
        key_bias=torch.stack([r @ old.key_bias[j] for r, j in zip(keys, source, strict=True)]),
        value=torch.stack([s @ old.value[j] for s, j in zip(values, source, strict=True)]),
        value_bias=torch.stack(
            [s @ old.value_bias[j] for s, j in zip(values, source, strict=True)]
        ),
        query=torch.stack([keys[h // shared] @ old.query[h] for h in heads]),
        query_bias=torch.stack([keys[h // shared] @ old.query_bias[h] for h in heads]),
        out=torch.stack([values[h // shared] @ old.out[h] for h in heads]),
    )
    model = unfused(model)
    site.write(model, new)
    return model


def edit(model, move, moments=None):
    [site], _ = find_sites(model)
    return move.edit(site.read(model), moments)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("known", [False, True])
def test_heads_that_are_turns_of_each_other_merge_without_a_trace(positions, known):
    model = doubled(make(positions), positions)
    x, context = data(5, rows=9), data(6, rows=7)
    moments = {"site": seen_of(data())} if known else None
    smaller = Plan(moves={"site": (ShareKeyValue(kv_heads=2),)}).apply(model, moments)
    assert (smaller.site.heads, smaller.site.kv_heads) == (HEADS, 2)
    for inputs in ((x,), (x, context)):
        torch.testing.assert_close(smaller(*inputs), model(*inputs), rtol=0, atol=1e-9)


def test_heads_that_are_alike_come_together():
    merged = edit(doubled(make(), "none"), ShareKeyValue(kv_heads=2))
    assert merged.origin == (0, 1, 4, 5, 2, 3, 6, 7)


@pytest.mark.parametrize("positions", ["none", "rotary"])
def test_what_all_keys_of_a_head_share_counts_where_positions_turn_it(positions):
    [site], _ = find_sites(model := make(positions))
    old = site.read(model)
    bias = torch.tensor([[9.0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0], [0, 0, 0, 9]]).to(old.key)
    merged = ShareKeyValue(kv_heads=2).edit(
        old.with_(key=old.key[[0, 0, 2, 2]], value=old.value[[0, 0, 0, 0]], key_bias=bias), None
    )
    together = {"none": (0, 1, 2, 3, 4, 5, 6, 7), "rotary": (0, 1, 4, 5, 2, 3, 6, 7)}
    assert merged.origin == together[positions]


def turns(new, old):
    """What was multiplied from the left, head by head; always orthogonal."""
    found = new @ torch.linalg.pinv(old)
    eye = torch.eye(found.shape[1], dtype=found.dtype).expand_as(found)
    torch.testing.assert_close(found @ found.mT, eye)
    return found


def share_of(lost, weight, context):
    """Of the variance that the heads have on the data."""
    lost, all_of_it = (
        (x @ context[0].T).var(-1, unbiased=False).sum().item() for x in (lost, weight)
    )
    return lost / all_of_it


def error(before, after, context):
    """How far heads are from what they share, keys and values, each turned back."""
    rows = list(after.origin)
    firsts = [row // before.groups for row in rows[:: before.groups]]
    total = 0.0
    for name, asks in (("key", "query"), ("value", "out")):
        old, new = getattr(before, name), getattr(after, name)
        turned = turns(getattr(after, asks), getattr(before, asks)[rows])[:: before.groups]
        back = turned.mT @ new.repeat_interleave(len(old) // len(new), dim=0)
        total += share_of(old[firsts] - back, old, context)
    return total


def plain_error(before, context):
    means = [
        x.unflatten(0, (2, -1)).mean(1).repeat_interleave(len(x) // 2, dim=0)
        for x in (before.key, before.value)
    ]
    lost = (before.key - means[0], before.value - means[1])
    return share_of(lost[0], before.key, context) + share_of(lost[1], before.value, context)


@pytest.mark.parametrize("seed", range(5))
def test_closer_on_the_data_than_the_plain_mean_and_than_without_data(seed):
    context = data(seed)
    [site], _ = find_sites(model := make(seed=100 * seed))
    before = site.read(model)
    ours, blind = (
        error(before, ShareKeyValue(kv_heads=2).edit(before, moments), context)
        for moments in (seen_of(context), None)
    )
    assert ours < 0.9 * blind
    assert ours < 0.6 * plain_error(before, context)


def test_nothing_is_turned_that_the_plain_mean_has_right_already():
    [site], _ = find_sites(model := make())
    before = site.read(model)
    before = before.with_(
        key=before.key[[0, 0, 2, 2]], value=before.value[[0, 0, 2, 2]], value_bias=None
    )
    context = data()
    assert plain_error(before, context) < 1e-12
    assert error(before, ShareKeyValue(kv_heads=2).edit(before, seen_of(context)), context) < 1e-12


def test_opposite_heads_do_not_cancel():
    [site], _ = find_sites(model := make())
    before = site.read(model)
    before = before.with_(
        key=torch.cat([before.key[:2], -before.key[:2]]),
        value=torch.cat([before.value[:2], -before.value[:2]]),
    )
    assert error(before, ShareKeyValue(kv_heads=2).edit(before, None), data()) < 1e-12


def samples(heads, dim, seed):
    """What heads give on a few rows, the first heads hardly anything."""
    return draw(heads, dim, 6, seed=seed) * torch.linspace(0.1, 1, heads).double()[:, None, None]


def from_mean(given):
    return (given - given.mean(0)).square().sum().item()


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 47, 518])  # the last two are hard from one start
def test_turned_heads_are_never_further_from_their_mean(seed, pairs):
    given = samples(4, 2, seed)
    found, error = align(given[:, None] @ given.mT, turns="pairs" if pairs else "any")
    assert error == pytest.approx(from_mean(found @ given))
    assert error < from_mean(given)


@pytest.mark.parametrize("seed", range(5))
def test_no_angles_bring_three_heads_closer(seed):
    given = samples(3, 2, seed)
    _, error = align(given[:, None] @ given.mT, turns="pairs")
    angle = torch.linspace(0, 2 * torch.pi, 90, dtype=torch.float64)
    rotated = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1)
    rotated = rotated.unflatten(-1, (2, 2))
    first, second, third = given[0], rotated @ given[1], rotated @ given[2]
    mean = (first + second[:, None] + third) / 3
    every = given.square().sum() - 3 * mean.square().sum((-2, -1))
    assert error < 1.001 * every.min().item()


@pytest.mark.parametrize("seed", range(3))
def test_rotary_keys_turn_within_their_pairs_only(seed):
    model, context = make("rotary", seed=50 * seed), data(seed)
    [site], _ = find_sites(model)
    before = site.read(model)
    after = ShareKeyValue(kv_heads=1).edit(before, seen_of(context))
    assert after.rotary == before.rotary
    found = turns(after.query, before.query[list(after.origin)])
    half = DIM // 2
    for pair in range(half):
        block = found[:, [pair, pair + half]][:, :, [pair, pair + half]]
        torch.testing.assert_close(torch.linalg.det(block), torch.ones(HEADS).double())
    rest = [(i, j) for i in range(DIM) for j in range(DIM) if (i - j) % half]
    assert all(found[:, i, j].abs().max() < 1e-12 for i, j in rest)
    assert (found[:, 0, half].abs() > 1e-3).any()


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_the_mean_of_what_the_site_gives_stays(kv_heads):
    model, x = make(), data(7)
    model.site.query.weight.data.zero_()  # so that every query looks at all keys alike
    model.site.query.bias.data.zero_()
    move = ShareKeyValue(kv_heads=kv_heads)
    smaller = Plan(moves={"site": (move,)}).apply(model, {"site": seen_of(x)})
    torch.testing.assert_close(smaller(x), model(x))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_a_saved_model_is_rebuilt_from_its_plan(positions, kv_heads):
    x = data(8, rows=9)
    plan = Plan(moves={"site": (ShareKeyValue(kv_heads=kv_heads),)})
    smaller = plan.apply(make(positions), {"site": seen_of(x)})
    rebuilt = parse_plan(plan.dumps()).apply(make(positions, seed=77))
    rebuilt.load_state_dict(smaller.state_dict())
    torch.testing.assert_close(rebuilt(x), smaller(x))
    assert smaller.site.key.weight.shape == (kv_heads * DIM, WIDTH)
    assert smaller.site.value.weight.shape == (kv_heads * VALUE_DIM, WIDTH)


def test_what_look_has_seen_will_do():
    model, x = make(), data(9)
    [site], _ = find_sites(model)
    moments = collect_moments(model, [site], [lambda: model(x)])["site"]
    before = site.read(model)
    after = ShareKeyValue(kv_heads=2).edit(before, moments)
    want = ShareKeyValue(kv_heads=2).edit(before, seen_of(x))
    torch.testing.assert_close(after.key, want.key, rtol=0, atol=1e-4)
    nowhere = replace(moments, context=torch.empty(0, 0))  # as when nothing went through the keys
    torch.testing.assert_close(
        ShareKeyValue(kv_heads=2).edit(before, nowhere).key,
        ShareKeyValue(kv_heads=2).edit(before, None).key,
    )


def test_without_biases_there_are_none_but_that_of_the_output():
    [site], _ = find_sites(model := make())
    bare = site.read(model).with_(query_bias=None, key_bias=None, value_bias=None, out_bias=None)
    for moments in (None, seen_of(data())):
        after = ShareKeyValue(kv_heads=2).edit(bare, moments)
        assert (after.query_bias, after.key_bias, after.value_bias) == (None, None, None)
        assert after.out_bias.shape == (WIDTH,)


@pytest.mark.parametrize("kv_heads", [3, 4, 5])
def test_refuses_what_does_not_divide(kv_heads):
    message = f"kv_heads must be below 4 here and divide it, got {kv_heads}"
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        edit(make(), ShareKeyValue(kv_heads=kv_heads))


def test_refuses_a_site_in_which_components_count():
    [site], _ = find_sites(model := make())
    mixing = Mixing(name="hedgehog", settings={"features": 3})
    with pytest.raises(UnsupportedError, match=r"heads must mix by one of .*, got hedgehog"):
        ShareKeyValue(kv_heads=2).edit(site.read(model).with_(mixing=mixing), None)
    window = Mixing(name="window", settings={"window": 3})
    assert ShareKeyValue(kv_heads=2).edit(site.read(model).with_(mixing=window), None)


def test_refuses_a_dropped_site():
    [site], _ = find_sites(model := make())
    old = site.read(model)
    with pytest.raises(UnsupportedError, match="a site must have heads left, got a dropped one"):
        ShareKeyValue(kv_heads=2).edit(DropSite().edit(old, None), None)


def test_rejects_no_heads():
    with pytest.raises(ConfigError, match="kv_heads must be at least 1, got 0"):
        ShareKeyValue(kv_heads=0)


def alike(heads, off=0.0):
    """What separates heads that are the same, but for this rounding."""
    return torch.full((heads, heads), off, dtype=torch.float64).fill_diagonal_(0)


@pytest.mark.parametrize(
    "likeness",
    [
        alike(4),
        alike(4, -1e-17),
        alike(4, 1e-300),
        -alike(4, 1.0),
        draw(4, 4, seed=3),
        draw(4, 4, seed=3).float().abs(),
    ],
    ids=["zero", "below zero", "tiny", "negative", "lopsided", "float32"],
)
def test_regrouping_ends_with_groups_of_the_same_sizes(likeness):
    found = regrouped([[0, 2], [1, 3]], likeness)
    assert sorted(map(len, found)) == [2, 2]
    assert sorted(head for group in found for head in group) == [0, 1, 2, 3]
    assert found == regrouped([[0, 2], [1, 3]], likeness)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_distances_that_are_no_numbers_are_refused(number):
    with pytest.raises(UnsupportedError, match="distances between heads must be finite"):
        regrouped([[0], [1]], torch.tensor([[0.0, number], [number, 0.0]]))


@pytest.mark.parametrize("positions", POSITIONS)
def test_equal_heads_merge_without_a_trace(positions):
    model, x = make(positions), data(5, rows=9)
    with torch.no_grad():
        for linear in (model.site.key, model.site.value):
            for parameter in linear.parameters():
                each = parameter.unflatten(0, (KV_HEADS, -1))
                each[1:] = each[:1].clone()
    smaller = Plan(moves={"site": (ShareKeyValue(kv_heads=2),)}).apply(model)
    torch.testing.assert_close(smaller(x), model(x), rtol=0, atol=1e-9)


def test_norms_behind_the_projections_leave_keys_unturned():
    [site], _ = find_sites(model := make("rotary"))
    before = replace(site.read(model), normed=True)
    after = ShareKeyValue(kv_heads=1).edit(before, seen_of(data()))
    assert torch.equal(after.query, before.query[list(after.origin)])
    torch.testing.assert_close(after.key, before.key.mean(0, keepdim=True))
    assert not torch.equal(after.out, before.out[list(after.origin)])  # values do turn


def test_values_of_other_vectors_than_keys_are_measured_on_those():
    x, other = data(7), data(8) - 3
    [site], _ = find_sites(model := make())
    model.site.query.weight.data.zero_()  # so that every query looks at all keys alike
    model.site.query.bias.data.zero_()
    moments = replace(seen_of(x), value=moment(other))
    before = site.read(model)
    after = ShareKeyValue(kv_heads=2).edit(before, moments)

    def mean(site):
        values = other[0] @ site.value.mT + site.value_bias[:, None]
        heads = values.mean(1).repeat_interleave(site.groups, dim=0)
        return torch.einsum("hv,hvo->o", heads, site.out) + site.out_bias

    torch.testing.assert_close(mean(after), mean(before))
    blind = ShareKeyValue(kv_heads=2).edit(before, seen_of(x))
    assert (mean(blind) - mean(before)).norm() > 0.1 * mean(before).norm()
