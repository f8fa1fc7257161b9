"""Every way to write a product has the same two factors, and its result the same form."""

import pytest
import torch

from heedful.allocation.adapters.structure.factors import factors_of

BATCH, HEADS, ROWS, COLUMNS, INNER = 2, 3, 5, 7, 4


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


LEFT, RIGHT = draw(BATCH, HEADS, ROWS, INNER), draw(BATCH, HEADS, COLUMNS, INNER)
FIRST = (LEFT.permute(2, 0, 1, 3), RIGHT.permute(2, 0, 1, 3))  # time first
CALLS = {
    "matmul": (torch.matmul, (LEFT, RIGHT.mT), {}),
    "einsum": (torch.einsum, ("b h i d, b h j d -> b h i j", LEFT, RIGHT), {}),
    "einsum of a list": (torch.einsum, ("bhid,bhjd->bhij", [LEFT, RIGHT]), {}),
    "einsum, time first": (torch.einsum, ("ibhd,jbhd->jbih", *FIRST), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_factors_and_result_have_one_form(name):
    function, args, kwargs = CALLS[name]
    found = factors_of(function.__name__, args, kwargs)
    assert torch.equal(found.left, LEFT)
    assert torch.equal(found.right, RIGHT)
    result = function(*args, **kwargs)
    plain = found.plain(result)
    torch.testing.assert_close(plain, LEFT @ RIGHT.mT)
    assert torch.equal(found.raw(plain), result)
    turned = found.turned()
    assert torch.equal(turned.plain(result), plain.mT)
    assert torch.equal(turned.raw(plain.mT), result)


def test_a_sum_with_a_product_has_its_factor():
    left, right = LEFT.flatten(0, 1), RIGHT.flatten(0, 1)
    added = torch.zeros(BATCH * HEADS, ROWS, COLUMNS)
    for args, kwargs in (
        ((added, left, right.mT), {}),
        ((added,), {"batch1": left, "batch2": right.mT}),
    ):
        found = factors_of("baddbmm", args, kwargs | {"alpha": 0.5})
        assert torch.equal(found.left, left)
        assert torch.equal(found.right, right)
        assert found.scale == 0.5


@pytest.mark.parametrize(
    "name, args",
    [
        ("matmul", (LEFT, draw(INNER, 2))),
        ("matmul", (draw(ROWS, INNER), draw(INNER, 2))),
        ("add", (LEFT, LEFT)),
        ("einsum", ("bhid,bhjd,bhjd->bhij", LEFT, RIGHT, RIGHT)),
        ("einsum", ("bhid,bhjd->bhi", LEFT, RIGHT)),
        ("einsum", ("bhid,hd->bhi", LEFT, draw(HEADS, INNER))),
        ("einsum", ("id,jd->ij", draw(ROWS, INNER), draw(COLUMNS, INNER))),
        ("einsum", ("...id,...jd->...ij", LEFT, RIGHT)),
    ],
)
def test_others_are_no_products_of_as_many_matrices(name, args):
    assert factors_of(name, args, {}) is None
