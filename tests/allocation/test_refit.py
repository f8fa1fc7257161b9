"""The refit is least squares: numpy finds nothing closer."""

import numpy as np
import pytest
import torch

from heedful.allocation.moments import Moments
from heedful.allocation.projections import Projections
from heedful.allocation.refit import RIDGE, refit, solve

HEADS, DIM, OUT, ROWS = 3, 2, 5, 400


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def site(heads=HEADS, bias=True):
    return Projections(
        query=draw(heads, DIM, 4),
        key=draw(heads, DIM, 4),
        value=draw(heads, DIM, 4),
        out=draw(heads, DIM, OUT, seed=2),
        out_bias=draw(OUT, seed=3) if bias else None,
        scale=1.0,
        origin=tuple(range(heads)),
    )


def kept(before, heads):
    rows = list(heads)
    return before.with_(
        query=before.query[rows],
        key=before.key[rows],
        value=before.value[rows],
        out=before.out[rows],
        origin=tuple(rows),
    )


def mixed():
    """Heads that depend on each other, and have a mean."""
    return draw(ROWS, HEADS * DIM, seed=4) @ draw(HEADS * DIM, HEADS * DIM, seed=5) + 1


def moments(x):
    padded = torch.nn.functional.pad(x, (0, 1), value=1.0)
    moment = padded.T @ padded
    return Moments(query=moment[:0], context=moment[:0], mixed=moment, rows=len(x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("heads", [(0,), (0, 2), (1, 2), (0, 1, 2)])
def test_comes_as_close_as_numpy(heads, bias):
    x, before = mixed(), site(bias=bias)
    columns = [head * DIM + i for head in heads for i in range(DIM)]
    found = refit(before, kept(before, heads), moments(x), columns)
    target = x @ before.out.flatten(0, 1) + (before.out_bias if bias else 0)
    features = np.pad(x[:, columns].numpy(), ((0, 0), (0, 1)), constant_values=1)
    best = np.linalg.lstsq(features, target.numpy(), rcond=None)[0]
    ours = torch.cat([found.out.flatten(0, 1), found.out_bias[None]]).numpy()
    errors = [((features @ weights - target.numpy()) ** 2).sum() / ROWS for weights in (best, ours)]
    # what is held back is at most what holding back the best one would cost
    ridge = RIDGE * (features[:, :-1] ** 2).mean()
    assert errors[0] <= errors[1] <= errors[0] + ridge * (best[:-1] ** 2).sum() + 1e-9
    assert found.out.shape == (len(heads), DIM, OUT)
    assert torch.equal(found.query, before.query[list(heads)])


@pytest.mark.parametrize("known", ["nothing", "not what its heads mix"])
def test_where_nobody_knows_it_stays(known):
    before = site()
    after = kept(before, (0, 1))
    found = None if known == "nothing" else moments(mixed())
    if found is not None:
        found = Moments(query=found.query, context=found.context, mixed=None, rows=ROWS)
    assert refit(before, after, found, [0, 1, 2, 3]) is after


def test_solves_the_normal_equations():
    x = draw(50, 4)
    gram = torch.nn.functional.pad(x, (0, 1), value=1.0)
    gram = gram.T @ gram / 50
    target = draw(5, 3, seed=7)
    found = solve(gram, target)
    assert torch.allclose(gram @ found, target, atol=2e-3)


def test_directions_that_never_occurred_do_not_blow_up():
    x = torch.cat([draw(50, 2), torch.zeros(50, 2, dtype=torch.float64)], 1)
    x[:, 3] = x[:, 0]
    gram = torch.nn.functional.pad(x, (0, 1), value=1.0)
    gram = gram.T @ gram / 50
    found = solve(gram, gram[:, :2])
    assert torch.isfinite(found).all()
    assert found.abs().max() < 2
    assert found[2].abs().max() < 1e-9


def test_a_site_that_gave_nothing_is_no_error():
    gram = torch.zeros(3, 3, dtype=torch.float64)
    gram[-1, -1] = 1
    assert torch.isfinite(solve(gram, torch.zeros(3, 2, dtype=torch.float64))).all()


def test_only_the_constant_is_not_held_back():
    """A mean is met exactly, however far away it lies."""
    before = site(bias=True)
    x = mixed() * 1e-3
    found = refit(before, kept(before, (0,)), moments(x), [0, 1])
    target = x @ before.out.flatten(0, 1) + before.out_bias
    ours = x[:, :2] @ found.out.flatten(0, 1) + found.out_bias
    assert torch.allclose(ours.mean(0), target.mean(0), atol=1e-8)
