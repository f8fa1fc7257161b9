"""A convolution in the place of a site: it starts as the mean, and is called as the site was."""

import re

import pytest
import torch

from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import Convolution, DropSite, TopKKeys
from heedful.allocation.plan import Plan
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import Site, find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.models import Transformer
from heedful.nn.fusion import LocalConvolution
from heedful.testing.tolerance import assert_close


def test_starts_as_the_mean_of_what_the_site_gave(make_site, draw, observe, move_site):
    model, x = make_site(), draw(2, 9)
    moments = observe(model, (x,))["site"]
    new = move_site(model, Convolution(kernel=3), moments=moments)
    assert isinstance(new.site, LocalConvolution)
    assert new.site.kernel == 3
    mean = model(x).mean((0, 1))
    # the moments are of x in float32
    torch.testing.assert_close(new(x), mean.expand(2, 9, -1), rtol=0, atol=1e-5)
    assert torch.equal(new(x), move_site(model, DropSite(), moments=moments)(x))
    blind = move_site(model, Convolution(kernel=3))
    assert torch.equal(blind(x), model.site.out.bias.expand(2, 9, -1))


def test_keeps_dtype_mode_and_whether_it_is_trained(make_site, move_site):
    model = make_site().eval().requires_grad_(False).bfloat16()
    new = move_site(model, Convolution(kernel=3))
    assert not new.site.training
    assert all(p.dtype == torch.bfloat16 for p in new.parameters())
    assert not any(p.requires_grad for p in new.parameters())


def test_survives_a_plan_and_then_stays(make_site, draw, move_site, rebuild):
    model, x = make_site(), draw(2, 9)
    new = move_site(model, Convolution(kernel=5))
    again = rebuild(new, model, Convolution(kernel=5))
    assert torch.equal(again(x), new(x))
    assert again(x).std(1).min() > 0.01
    sites, unknown = find_sites(again)
    assert (sites, unknown) == ([], {"site": "it became a convolution"})
    (site,), _ = find_sites(model)
    left = site.read(again)
    assert left.mixing == Mixing(name="local_convolution", settings={"kernel": 5})
    assert str(left.geometry) == "local_convolution"
    assert torch.equal(left.out_bias, again.site.out.bias)


def test_a_translator_reads_and_writes_with_it():
    torch.manual_seed(1)
    model = Transformer(source_size=11, target_size=13, width=16, heads=2, feedforward=8).eval()
    sites, _ = find_sites(model)
    names = [site.name for site in sites if not site.name.endswith("cross_attention")]
    new = Plan(moves={name: (Convolution(kernel=3),) for name in names}).apply(model)
    for parameter in new.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    source, lengths = torch.randint(11, (2, 7)), torch.tensor([5, 7])
    target = torch.randint(13, (2, 6))
    with torch.no_grad():
        whole = new(source, lengths, target)
        state = new.start(source, lengths)
        steps = [new.step(tokens, state) for tokens in target.unbind(1)]
        assert_close(torch.stack(steps, 1), whole, roundings=500, largest=whole.abs().max().item())
        padded = source.clone()
        padded[0, 5:] = 3
        assert torch.equal(new(padded, lengths, target), whole)
        later = target.clone()
        later[:, 4:] = (later[:, 4:] + 1) % 13
        assert torch.equal(new(source, lengths, later)[:, :4], whole[:, :4])


def test_only_for_sites_that_look_at_their_own_text(make_site, draw, observe, move_site):
    model, x, y = make_site(), draw(2, 9), draw(2, 5, seed=4)
    message = "a site must look at its own text for local_convolution, got another text"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, Convolution(kernel=3), moments=observe(model, (x, y))["site"])


def test_is_passed_over_where_others_are_heard(make_site, draw, move_site):
    model, x = make_site(), draw(2, 9)
    (site,), _ = find_sites(model)
    new = move_site(model, Convolution(kernel=3))
    assert collect_moments(new, [Site("site", site.adapter)], [lambda: new(x)]) == {}


def test_says_why_it_cannot(make_site, move_site):
    model = make_site()
    message = "a site must mix by scaled dot products to mix by local_convolution, got top_k"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, TopKKeys(keys=2), Convolution(kernel=3))
    for moves in [(DropSite(),), (Convolution(kernel=3),)]:
        with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
            move_site(model, *moves, Convolution(kernel=3))
    (site,), _ = find_sites(model)
    read = site.read(model)
    other = read.with_(key=read.key[..., :5], value=read.value[..., :5])
    message = "must get and give vectors of one width, got width=12, context=5, out=12"
    with pytest.raises(UnsupportedError, match=message):
        Convolution(kernel=3).edit(other, None)


@pytest.mark.parametrize("kernel", [0, 2, -1])
def test_rejects_settings(kernel):
    message = f"kernel must be odd and at least 1, got {kernel}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        Convolution(kernel=kernel)
