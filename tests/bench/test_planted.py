"""What is planted carries nearly all attention, differs from head to head, and comes again."""

import re

import pytest
import torch

from heedful.bench.planted import planted
from heedful.errors import ConfigError

LENGTH, BLOCK = 512, 32


def attention(made, causal):
    """How much each block of queries gives to each block of keys."""
    scores = made.query.double() @ made.key.double().mT / made.query.shape[3] ** 0.5
    if causal:
        hidden = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    blocks = LENGTH // BLOCK
    weights = scores.softmax(-1).unflatten(3, (blocks, BLOCK)).sum(4)
    return weights.unflatten(2, (blocks, BLOCK)).mean(3)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_lies_where_it_was_planted(causal):
    made = planted(LENGTH, batch=2, heads=3, dim=40, block=BLOCK, chosen=2, causal=causal)
    mass = attention(made, causal)
    assert (mass * made.grid).sum(-1).min() >= 0.99
    assert mass[made.grid].min() >= 0.02  # each of them matters


@pytest.mark.parametrize("causal", [False, True])
def test_grid(causal):
    made = planted(LENGTH, batch=2, heads=3, dim=40, block=BLOCK, chosen=2, causal=causal)
    blocks = LENGTH // BLOCK
    assert made.grid.shape == (2, 3, blocks, blocks)
    assert made.grid[..., 0].all()
    assert made.grid.diagonal(dim1=2, dim2=3).all()
    counts = made.grid.sum(-1)
    if causal:
        assert not made.grid.triu(1).any()
        assert (counts == torch.arange(blocks).clamp(max=3) + 1).all()
    else:
        assert (counts[..., 1:] == 4).all()
        assert (counts[..., 0] == 3).all()  # the first block and its own are one
    assert not torch.equal(made.grid[0, 0], made.grid[0, 1])
    assert not torch.equal(made.grid[0, 0], made.grid[1, 0])


def test_shapes_and_values():
    made = planted(LENGTH, batch=2, heads=3, dim=40, block=BLOCK, chosen=2)
    for tensor in made[:3]:
        assert tensor.shape == (2, 3, LENGTH, 40)
        assert tensor.dtype == torch.float32
    assert abs(made.value.mean()) < 0.02
    assert abs(made.value.std() - 1) < 0.02


def test_the_same_seed_makes_the_same():
    settings = {"heads": 2, "dim": 16, "block": BLOCK, "chosen": 1}
    one, again, other = (planted(LENGTH, **settings, seed=seed) for seed in (7, 7, 8))
    for a, b, c in zip(one, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_more_blocks_than_directions():
    made = planted(LENGTH, heads=2, dim=4, block=BLOCK, chosen=1)
    assert made.query.isfinite().all()


@pytest.mark.parametrize(
    "length, changes, message",
    [
        (100, {}, "block must divide length, got block=32, length=100"),
        (0, {}, "block must divide length, got block=32, length=0"),
        (96, {"block": 0}, "block must divide length, got block=0, length=96"),
        (96, {"chosen": 2}, "chosen must be at least 0 and leave two blocks, got chosen=2 of blo"),
        (96, {"chosen": -1}, "chosen must be at least 0 and leave two blocks, got chosen=-1 of"),
    ],
)
def test_rejects(length, changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        planted(length, **({"block": BLOCK, "chosen": 1} | changes))
