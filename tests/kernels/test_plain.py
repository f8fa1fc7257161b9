"""Two products with stored scores: what they give, and where they pay."""

import pytest
import torch

from heedful.kernels import plain, sdpa
from heedful.kernels.call import Call
from heedful.mask import Mask
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1, dtype=torch.bfloat16):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(heads=4, dtype=torch.bfloat16):
    return (
        draw(2, 4, 5, 3, dtype=dtype),
        draw(2, heads, 7, 3, seed=2, dtype=dtype),
        draw(2, heads, 7, 6, seed=3, dtype=dtype),
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("heads", [4, 2])
@pytest.mark.parametrize("bias", [None, draw(4, 5, 1, seed=4)])
@pytest.mark.parametrize(
    "mask",
    [None, Mask.full(), Mask.causal(), Mask.lengths(torch.tensor([0, 6]))],
)
def test_gives_what_torch_gives(dtype, heads, bias, mask):
    call = Call.of(*tensors(heads, dtype), mask, bias, 0.3)
    output = plain.run(call)
    exact = [None if x is None else x.double() for x in (*call[:3], bias)]
    want = sdpa.run(Call.of(*exact[:3], mask, exact[3], 0.3))
    assert output.dtype == dtype
    largest = float(exact[2].abs().max())
    # in half precision the scores are rounded too, and then magnified by exp
    largest *= 4 if dtype != torch.float64 else 1
    assert_close(output, want, roundings=roundings(dtype, 3, 7, 7), largest=largest)


def test_a_row_that_sees_nothing_gives_nothing_and_has_no_gradient():
    leaves = [x.requires_grad_() for x in tensors()]
    output = plain.run(Call.of(*leaves, Mask.lengths(torch.tensor([0, 6]))))
    assert output[0].abs().max() == 0
    output.sum().backward()
    assert all(leaf.grad[0].abs().max() == 0 for leaf in leaves)
    assert leaves[2].grad[1].abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_behind_the_mask_whose_products_are_too_large_change_no_gradient(dtype):
    mask = Mask.lengths(torch.tensor([3, 5]))
    found = []
    for hidden in (0.0, 6e4):  # more than one number of 16 bits may be, once it is multiplied
        query, key, value = (x.clone() for x in tensors(dtype=dtype))
        for x in (key, value):
            x[0, :, 3:], x[1, :, 5:] = hidden, hidden
        leaves = [x.requires_grad_() for x in (query, key, value)]
        plain.run(Call.of(*leaves, mask)).sum().mul(4).backward()
        found.append([x.grad for x in leaves])
    for without, beside in zip(*found, strict=True):
        assert torch.equal(without, beside)


def test_dropout_drops_weights_and_keeps_the_mean():
    torch.manual_seed(0)
    query = torch.zeros(2, 4, 5, 3, dtype=torch.bfloat16)
    key = torch.zeros(2, 4, 500, 3, dtype=torch.bfloat16)
    value = torch.ones(2, 4, 500, 3, dtype=torch.bfloat16)
    dropped = plain.run(Call.of(query, key, value, dropout=0.5)).float()
    assert dropped.std() > 0.01
    # 500 weights kept with chance 1/2 and doubled: the deviation of their mean is 1/sqrt(500)
    assert (dropped - 1).abs().max() < 6 / 500**0.5


@pytest.mark.parametrize(
    "dtype, reason",
    [
        (torch.float32, "scores of single precision gain nothing by it"),
        (torch.float64, "scores of double precision gain nothing by it"),
        (torch.bfloat16, None),
        (torch.float16, None),
    ],
)
def test_pays_in_half_precision(dtype, reason):
    assert plain.refuses(Call.of(*tensors(dtype=dtype))) == reason


def test_pays_on_cpu():
    x = draw(2, 4, 5, 3).to("meta")
    assert plain.refuses(Call.of(x, x, x)) == "it pays on CPU only, got meta"


@pytest.mark.parametrize(
    "batch, queries, keys, reason",
    [
        (1, 512, 512, None),
        (1, 512, 513, "it stores 262656 scores per head, and pays up to 262144"),
        (512, 512, 512, None),
        (513, 512, 512, "its scores would take 256 MiB, and may take 256"),
        (600, 512, 512, "its scores would take 300 MiB, and may take 256"),
    ],
)
def test_stores_no_more_than_pays(batch, queries, keys, reason):
    x = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16)
    query, key = x.expand(batch, 1, queries, 3), x.expand(batch, 1, keys, 3)
    found = plain.refuses(Call.of(query, key, key))
    assert found == reason


def test_left_alone_where_no_gradient_is_needed():
    query, key, value = tensors()
    reason = "it pays where a gradient is needed only"
    assert plain.avoided(Call.of(query, key, value)) == reason
    value.requires_grad_()
    assert plain.avoided(Call.of(query, key, value)) is None
    with torch.no_grad():
        assert plain.avoided(Call.of(query, key, value)) == reason
