"""A recurrence in the place of a site: what it starts from, what it keeps, what it needs."""

import pytest
import torch

from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import (
    DropSite,
    KeepHeads,
    QueryKeyRank,
    Recurrence,
    TopKKeys,
    ValueRank,
)
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.models import Transformer
from heedful.nn.fusion import GatedRecurrence
from heedful.testing.tolerance import assert_close

CAUSAL = {"mask": Mask.causal()}


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


def seen_with(model, x, **arguments):
    model = unfused(model)
    return collect_moments(model, find_sites(model)[0], [lambda: model(x, **arguments)])["site"]


def test_carries_the_values_of_each_head(make_site, draw, move_site):
    model, x = make_site(kv_heads=4), draw(2, 9)
    new = move_site(model, Recurrence(), moments=seen_with(model, x, **CAUSAL))
    assert isinstance(new.site, GatedRecurrence)
    forget = torch.logspace(-2, 4, 4, base=2.0, dtype=torch.float64)  # mean ages of 1/4 to 16
    forget = (forget / (1 + forget)).repeat(4)
    values, carried, states = model.site.value(x), torch.zeros(2, 16, dtype=torch.float64), []
    for value in values.unbind(1):
        carried = forget * carried + (1 - forget) * value
        states.append(carried)
    torch.testing.assert_close(
        new(x, **CAUSAL), model.site.out(torch.stack(states, 1)), rtol=0, atol=1e-5
    )


def test_heads_that_shared_values_share_a_state(make_site, draw, move_site):
    model, x = make_site(), draw(2, 9)  # four heads on two
    new = move_site(model, Recurrence())
    assert (new.site.heads, new.site.dim) == (2, 4)
    repeated = make_site(kv_heads=4)
    value = model.site.value
    for name, size in (("weight", (2, 4, -1)), ("bias", (2, 4, 1))):
        grouped = getattr(value, name).detach().view(size).repeat_interleave(2, 0)
        getattr(repeated.site.value, name).data = grouped.reshape(16, -1).squeeze(-1)
    repeated.site.out.load_state_dict(model.site.out.state_dict())
    same(new(x), move_site(repeated, Recurrence())(x))


def test_survives_a_plan_and_loses_heads_or_all(make_site, draw, move_site, rebuild):
    model, x = make_site(kv_heads=4), draw(2, 9)
    new = move_site(model, Recurrence())
    again = rebuild(new, model, Recurrence())
    assert torch.equal(again(x), new(x))
    (site,), unknown = find_sites(again)
    assert not unknown
    left = site.read(again)
    assert left.mixing == Mixing(name="gated_recurrence")
    assert str(left.geometry) == "4 x 4, gated_recurrence"
    same(unfused(again)(x), again(x))
    halved = move_site(again, KeepHeads(heads=(1, 3)), moments=seen_with(again, x))
    assert (halved.site.heads, halved.site.dim) == (2, 4)
    kept = torch.tensor([4, 5, 6, 7, 12, 13, 14, 15])
    rows = torch.cat([kept, 16 + kept])
    same(halved.site.inner.weight, again.site.inner.weight[rows])
    assert str(site.read(move_site(again, DropSite())).geometry) == "dropped"


def test_what_it_gives_is_fitted_when_heads_go(make_site, draw, move_site):
    model, x = move_site(make_site(kv_heads=4), Recurrence()), draw(4, 30)
    fitted = move_site(model, KeepHeads(heads=(0, 1)), moments=seen_with(model, x))(x) - model(x)
    plain = move_site(model, KeepHeads(heads=(0, 1)))(x) - model(x)
    assert fitted.square().mean() < plain.square().mean()


def test_a_translator_reads_and_writes_with_it():
    torch.manual_seed(1)
    model = Transformer(source_size=11, target_size=13, width=16, heads=2, feedforward=8).eval()
    source, lengths = torch.randint(11, (2, 7)), torch.tensor([5, 7])
    target = torch.randint(13, (2, 6))
    sites, _ = find_sites(model)
    separate = unfused(model)
    moments = collect_moments(separate, sites, [lambda: separate(source, lengths, target)])
    back = [name for name, one in moments.items() if one.causal]
    assert back == [
        site.name
        for site in sites
        if site.name.startswith("decoder") and site.name.endswith("self_attention")
    ]
    new = Plan(moves={name: (Recurrence(),) for name in back}).apply(model, moments)
    for parameter in new.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        whole = new(source, lengths, target)
        state = new.start(source, lengths)
        steps = [new.step(tokens, state) for tokens in target.unbind(1)]
        assert_close(torch.stack(steps, 1), whole, roundings=500, largest=whole.abs().max().item())
        later = target.clone()
        later[:, 4:] = (later[:, 4:] + 1) % 13
        assert torch.equal(new(source, lengths, later)[:, :4], whole[:, :4])


def test_says_why_it_cannot(make_site, draw, observe, move_site):
    model, x, y = make_site(), draw(2, 9), draw(2, 5, seed=4)
    message = "a site must look at its own text for gated_recurrence, got another text"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, Recurrence(), moments=observe(model, (x, y))["site"])
    message = "a site must look back only for gated_recurrence, got one that looks ahead"
    for mask in (None, Mask.lengths(torch.tensor([4, 9]))):
        with pytest.raises(UnsupportedError, match=message):
            move_site(model, Recurrence(), moments=seen_with(model, x, mask=mask))
    message = "a site must mix by scaled dot products to mix by gated_recurrence, got top_k"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, TopKKeys(keys=2), Recurrence())
    with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
        move_site(model, DropSite(), Recurrence())
    with pytest.raises(UnsupportedError, match="heads must mix by one of"):
        move_site(model, Recurrence(), QueryKeyRank(rank=2))
    with pytest.raises(UnsupportedError, match="values must have no gates of their own, got a rec"):
        move_site(model, Recurrence(), ValueRank(rank=2))
    (site,), _ = find_sites(model)
    read = site.read(model)
    other = read.with_(key=read.key[..., :5], value=read.value[..., :5])
    message = "a recurrence must get vectors of one width, got width=12, context=5"
    with pytest.raises(UnsupportedError, match=message):
        Recurrence().edit(other, None)
