"""A descent takes its steps, changes what it may, and stops where there is no number."""

import pytest
import torch
from torch import nn

from heedful.errors import TrainingError
from heedful.optimizing.descent import descend


def point(*values):
    return nn.Parameter(torch.tensor(values))


def test_a_loss_falls_to_its_least():
    x, target = point(3.0, -2.0), torch.tensor([1.0, 1.0])
    descend([x], lambda step: (x - target).square().sum(), steps=300, learning_rate=0.1)
    assert torch.allclose(x, target, atol=1e-2)


def test_the_first_step_is_small_and_the_last_next_to_nothing():
    x, places = point(0.0), []

    def loss(step):
        places.append(x.item())
        return x.sum()  # so that every step is as long as its learning rate

    descend([x], loss, steps=40, learning_rate=1.0)
    lengths = [a - b for a, b in zip(places, [*places[1:], x.item()], strict=True)]
    assert lengths[0] == pytest.approx(0.25, rel=1e-3)
    assert max(lengths) == pytest.approx(1.0, rel=0.05)
    assert lengths[-1] < 0.02
    assert all(length > 0 for length in lengths)


def test_steps_are_counted_from_one_and_told():
    x, asked, told = point(1.0), [], []
    descend(
        [x],
        lambda step: (asked.append(step), x.sum())[1],
        steps=3,
        learning_rate=0.1,
        on_step=told.append,
    )
    assert asked == told == [1, 2, 3]


@pytest.mark.parametrize("steps, count", [(0, 1), (3, 0)])
def test_with_nothing_to_do_nothing_is_asked(steps, count):
    descend([point(1.0)] * count, lambda step: pytest.fail("asked"), steps=steps, learning_rate=0.1)


def test_only_what_is_to_learn_changes_and_no_gradient_stays():
    x, other, idle = point(1.0), point(1.0), point(1.0)
    descend([x, idle], lambda step: (x * other).sum(), steps=3, learning_rate=0.1)
    assert x.item() != 1
    assert other.item() == idle.item() == 1
    assert x.grad is None
    assert other.grad is None


def test_a_steep_loss_is_no_more_than_one_of_norm_one():
    x, y, norms = point(1.0), point(1.0), []

    def loss(step):
        return (3e3 if step < 3 else 0.3) * x.sum() + y.sum()

    def heard(step):
        norms.append(torch.hypot(x.grad, y.grad).item())

    descend([x, y], loss, steps=3, learning_rate=0.1, on_step=heard)
    assert norms == pytest.approx([1, 1, 1], rel=1e-4)
    flat = []
    descend(
        [x],
        lambda step: 0.3 * x.sum(),
        steps=1,
        learning_rate=0.1,
        on_step=lambda step: flat.append(x.grad.item()),
    )
    assert flat == pytest.approx([0.3])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_no_number_is_refused_before_it_is_learned(value):
    x = point(1.0)

    def loss(step):
        return x.sum() * (value if step == 2 else 1)

    with pytest.raises(TrainingError, match=f"must be a number, got {value} at step 2"):
        descend([x], loss, steps=3, learning_rate=0.1)
    assert torch.isfinite(x).all()
