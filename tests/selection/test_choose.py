"""The chosen blocks carry enough, none of them is one too many, and what is kept comes first."""

import itertools
import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.selection import choose_blocks


def masses(seed=1, shape=(2, 3, 4, 9)):
    generator = torch.Generator().manual_seed(seed)
    mass = torch.randn(shape, generator=generator).mul(2).softmax(-1)
    mass[0, 1, 2] = 0.0  # a row that sees nothing
    mass[1, 0, 3, :5] = 0.0  # and one that sees the end only
    return mass


def rows(*tensors):
    return zip(*(tensor.flatten(0, 2) for tensor in tensors), strict=True)


@pytest.mark.parametrize("coverage", [0.05, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_enough_and_not_one_too_many(coverage, share):
    mass = masses()
    kept = torch.rand(mass.shape, generator=torch.Generator().manual_seed(2)) < share
    chosen = choose_blocks(mass, coverage=coverage, keep=kept)
    assert chosen.dtype == torch.bool
    assert (chosen >= kept).all()
    for row, keep, choice in rows(mass.double(), kept, chosen):
        assert row[choice].sum() >= coverage * row.sum() * (1 - torch.finfo(torch.float64).eps * 9)
        free = (choice & ~keep).nonzero().flatten().tolist()
        for block in free:
            rest = choice.clone()
            rest[block] = False
            assert row[rest].sum() < coverage * row.sum()


@pytest.mark.parametrize("coverage", [0.3, 0.8, 0.95])
def test_no_smaller_set_would_do(coverage):
    mass = masses(shape=(2, 3, 4, 7))
    for row, choice in rows(mass.double(), choose_blocks(mass, coverage=coverage)):
        fewer = max(0, int(choice.sum()) - 1)
        for others in itertools.combinations(range(7), fewer):
            assert row.sum() == 0 or row[list(others)].sum() < coverage * row.sum()


def test_by_hand():
    mass = torch.tensor([0.05, 0.4, 0.25, 0.2, 0.1]).view(1, 1, 1, 5)

    def chosen(coverage, keep=None):
        keep = None if keep is None else torch.tensor(keep).bool()
        return choose_blocks(mass, coverage=coverage, keep=keep).flatten().int().tolist()

    assert chosen(0.3) == [0, 1, 0, 0, 0]
    assert chosen(0.6) == [0, 1, 1, 0, 0]
    assert chosen(0.6, [1, 0, 0, 0, 1]) == [1, 1, 1, 0, 1]
    assert chosen(0.5, [1, 0, 0, 0, 1]) == [1, 1, 0, 0, 1]
    assert chosen(0.1, [1, 0, 0, 0, 1]) == [1, 0, 0, 0, 1]
    assert chosen(1.0) == [1, 1, 1, 1, 1]


def test_a_row_need_not_sum_to_one():
    mass = masses()
    assert torch.equal(choose_blocks(8 * mass, coverage=0.8), choose_blocks(mass, coverage=0.8))


def test_a_row_without_mass_has_what_is_kept_and_no_more():
    keep = torch.tensor([True] + [False] * 8)
    assert choose_blocks(masses(), coverage=1.0)[0, 1, 2].sum() == 0
    assert choose_blocks(masses(), coverage=1.0, keep=keep)[0, 1, 2].tolist() == keep.tolist()


def test_blocks_without_mass_are_never_needed():
    generator = torch.Generator().manual_seed(6)
    mass = 0.1 + torch.rand(1, 1, 500, 40, generator=generator, dtype=torch.float64)
    mass[..., ::3] = 0.0  # what is left of a sum in another order must not ask for these
    keep = torch.rand(40, generator=generator) < 0.3
    assert torch.equal(choose_blocks(mass, coverage=1.0), mass > 0)
    assert torch.equal(choose_blocks(mass, coverage=1.0, keep=keep), (mass > 0) | keep)


def test_small_masses_are_not_lost_beside_large_ones():
    mass = torch.tensor([1.0] + [1e-9] * 10).view(1, 1, 1, 11)
    assert choose_blocks(mass, coverage=(1 + 3.5e-9) / (1 + 1e-8)).sum() == 5


def test_keep_broadcasts():
    keep = torch.rand(1, 3, 1, 9, generator=torch.Generator().manual_seed(4)) < 0.4
    one = choose_blocks(masses(), coverage=0.7, keep=keep)
    assert torch.equal(one, choose_blocks(masses(), coverage=0.7, keep=keep.expand(2, 3, 4, 9)))


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"coverage": 0.0}, ConfigError, "coverage must be above 0 and at most 1, got 0.0"),
        ({"coverage": 1.5}, ConfigError, "coverage must be above 0 and at most 1, got 1.5"),
        (
            {"mass": torch.ones(3, 4, 9)},
            ShapeError,
            "mass must be 4-D (batch, heads, query_blocks, key_blocks), "
            "got a tensor of shape (3, 4, 9)",
        ),
        (
            {"keep": torch.ones(9)},
            ConfigError,
            "keep must be boolean (True = keep), got torch.float32",
        ),
        (
            {"keep": torch.ones(4, 8).bool()},
            ShapeError,
            "keep must broadcast to mass of shape (2, 3, 4, 9), got (4, 8)",
        ),
        (
            {"keep": torch.ones(5, 2, 3, 4, 9).bool()},
            ShapeError,
            "keep must broadcast to mass of shape (2, 3, 4, 9), got (5, 2, 3, 4, 9)",
        ),
    ],
)
def test_rejects(changes, error, message):
    call = {"mass": masses(), "coverage": 0.9} | changes
    mass = call.pop("mass")
    with pytest.raises(error, match=re.escape(message)):
        choose_blocks(mass, **call)
