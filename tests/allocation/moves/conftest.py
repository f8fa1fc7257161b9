"""A model with one site, and a plan that goes to text and back."""

import copy

import pytest
import torch
from torch import nn

from heedful.allocation.moments import collect_moments
from heedful.allocation.plan import Plan, parse_plan, unfused
from heedful.allocation.sites import find_sites
from heedful.nn import Attention

WIDTH = 12


class OneSite(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.site = Attention(width=WIDTH, **{"heads": 4, "kv_heads": 2, "dim": 4} | settings)

    def forward(self, *texts, **arguments):
        return self.site(*texts, **arguments)


def random(module, *, seed):
    """All parameters away from what they start as."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(drawn * 0.5)
    return module


@pytest.fixture
def make_site():
    """A model with random parameters in float64: `make_site(positions=...)`."""

    def make(*, seed=1, **settings):
        return random(OneSite(**settings).double(), seed=seed)

    return make


@pytest.fixture
def draw():
    """Random texts: `draw(2, 7)`."""

    def draw(batch, length, *, seed=3):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, length, WIDTH, generator=generator, dtype=torch.float64)

    return draw


@pytest.fixture
def observe():
    """What goes through the site when it is called with these texts, once each."""

    def observe(model, *calls):
        model = unfused(model)
        runs = [lambda texts=texts: model(*texts) for texts in calls]
        return collect_moments(model, find_sites(model)[0], runs)

    return observe


@pytest.fixture
def move_site():
    """Apply moves to the site."""

    def move_site(model, *moves, moments=None):
        before = copy.deepcopy(model.state_dict())
        new = Plan(moves={"site": moves}).apply(
            model, None if moments is None else {"site": moments}
        )
        assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
        return new

    return move_site


@pytest.fixture
def rebuild():
    """The same moves out of a text, on a model with other weights, and then the weights."""

    def rebuild(new, model, *moves):
        plan = Plan(moves={"site": moves})
        assert parse_plan(plan.dumps()) == plan
        again = parse_plan(plan.dumps()).apply(random(copy.deepcopy(model), seed=9))
        again.load_state_dict(random(new, seed=5).state_dict())
        return again

    return rebuild
