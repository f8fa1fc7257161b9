"""Gradients of the native kernel: those of doubles, of every input, for every mask and layout."""

import pytest
import torch

import heedful
from heedful.kernels.cpu.isa import ISAS
from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes

pytestmark = pytest.mark.usefixtures("kernel")
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
NAMES = ("query", "key", "value", "bias")


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(sizes, dtype=torch.float32):
    return (
        draw(sizes.batch, sizes.heads, sizes.queries, sizes.dim, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.dim, seed=2, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.value_dim, seed=3, dtype=dtype),
    )


def leaves_of(given):
    return [x.detach().requires_grad_() for x in given]


def gradients(given, *, by=None, bias=None, **settings):
    """The output, and the gradients of query, key, value and bias."""
    leaves = leaves_of([*given] if bias is None else [*given, bias])
    extra = {} if bias is None else {"bias": leaves[3]}
    output = heedful.attend(*leaves[:3], **extra, impl="cpu", **settings)
    by = draw(*output.shape, seed=6, dtype=output.dtype) if by is None else by
    return output.detach(), torch.autograd.grad(output, leaves, by), by


def compare(exact, agree, given, *, by=None, bias=None, **settings):
    output, found, by = gradients(given, by=by, bias=bias, **settings)
    leaves = leaves_of([x.double() for x in ([*given] if bias is None else [*given, bias])])
    extra = {} if bias is None else {"bias": leaves[3]}
    want, _ = exact(*leaves[:3], **extra, **settings)
    dim, keys = given[0].shape[3], given[1].shape[2]
    rows = given[0].shape[2] * given[0].shape[1]
    for one, other in zip(found, torch.autograd.grad(want, leaves, by.double()), strict=True):
        agree(one.to(output.dtype), other, dim, keys, keys, rows)
    return found


# few heads with many keys have these in parts; the others are one part each
SIZES = {
    "one_query": Sizes(queries=1, keys=300, dim=8, value_dim=20),
    "small": Sizes(kv_heads=2, dim=1, value_dim=17),
    "tiles": Sizes(heads=2, kv_heads=2, queries=150, keys=290, dim=24, value_dim=8),
    "shared": Sizes(heads=8, kv_heads=2, queries=30, keys=70, dim=33, value_dim=65),
    "parts": Sizes(batch=1, heads=2, kv_heads=1, queries=20, keys=1100, dim=8, value_dim=20),
    "many_parts": Sizes(batch=1, heads=1, kv_heads=1, queries=140, keys=9000, dim=8, value_dim=8),
    "no_parts": Sizes(batch=4, heads=4, kv_heads=4, queries=20, keys=1100, dim=8, value_dim=20),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_gives_what_doubles_give(exact, agree, dtype, sizes):
    compare(exact, agree, tensors(sizes, dtype))
    lengths = torch.full((sizes.batch,), sizes.keys - 3)
    compare(exact, agree, tensors(sizes, dtype), mask=Mask.causal() & Mask.lengths(lengths))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("queries, keys", [(50, 70), (200, 290)])
def test_every_mask(exact, agree, dtype, queries, keys, kind):
    sizes = Sizes(heads=2, kv_heads=1, queries=queries, keys=keys, dim=8, value_dim=20)
    mask, _ = MASKS[kind](sizes)
    compare(exact, agree, tensors(sizes, dtype), mask=mask, bias=draw(2, 1, keys, seed=4))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 7, 16, 17, 33, 64, 80, 129, 255, 256])
def test_every_head_size(exact, agree, dtype, dim):
    for value_dim in (dim, 257 - dim):
        sizes = Sizes(queries=20, keys=37, dim=dim, value_dim=value_dim)
        compare(exact, agree, tensors(sizes, dtype))


@pytest.mark.parametrize("isa", list(ISAS)[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set(exact, agree, use, isa, dtype):
    use(isa)
    for queries, keys, dim in ((1, 70, 1), (3, 33, 65), (50, 70, 17), (140, 530, 40), (9, 1500, 8)):
        sizes = Sizes(heads=2, queries=queries, keys=keys, dim=dim, value_dim=dim + 3, kv_heads=1)
        mask = Mask.window(100, sinks=3) & Mask.lengths(torch.tensor([keys - 1, keys]))
        bias = draw(2, 1, keys, seed=4)
        compare(exact, agree, tensors(sizes, dtype), mask=mask, bias=bias, scale=-0.3)


@pytest.mark.parametrize("first, last", [(0, 10), (1030, 1900), (900, 2100)])
def test_masks_that_hide_whole_parts_of_many_keys(exact, agree, first, last):
    sizes = Sizes(batch=1, heads=2, kv_heads=2, queries=30, keys=3000, dim=8, value_dim=20)
    position = torch.arange(3000)
    inside = (position >= first) & (position < last)
    for mask in (Mask.dense(inside[None]), Mask.dense(~inside[None])):
        found = compare(exact, agree, tensors(sizes), mask=mask)
        hidden = ~mask.to_bool(30, 3000)[0, 0, 0]
        for gradient in found[1:]:
            assert (gradient[:, :, hidden] == 0).all()


@pytest.mark.parametrize("scale", [-0.7, 0.0, 3.0])
def test_any_scale(exact, agree, scale):
    sizes = Sizes(queries=30, keys=40, dim=8, value_dim=20)
    found = compare(exact, agree, tensors(sizes), scale=scale, mask=Mask.causal())
    assert (found[0].abs().max() == 0) == (scale == 0)


# ---- bias ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(35,), (1, 1, 1, 35), (4, 1, 35), (4, 25, 1), (1,), (2, 4, 25, 35), (2, 4, 1, 1)]
)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_every_bias_has_its_gradient(exact, agree, shape, dtype):
    given = tensors(Sizes(kv_heads=2, queries=25, keys=35, dim=8, value_dim=20))
    bias = draw(*shape, seed=4, dtype=dtype)
    for mask in (None, Mask.window(9)):
        _, found, by = gradients(given, bias=bias, mask=mask)
        assert (found[3].shape, found[3].dtype) == (bias.shape, dtype)
        # a bias that is the same for all keys changes nothing: compare with terms, not with sums
        leaf = bias.double().expand(2, 4, 25, 35).clone().requires_grad_()
        want, _ = exact(*given, bias=leaf, mask=mask)
        terms = torch.autograd.grad(want, leaf, by.double())[0]
        wanted = terms.sum_to_size(bias.shape)
        largest = max(float(x.abs().max()) for x in (terms, wanted))
        rounded = found[3].float() if dtype == torch.float64 else found[3]
        agree(rounded, wanted, 8, 35, 35, 25 * 8, largest=largest)


def test_a_bias_that_was_expanded_has_its_gradient():
    given = tensors(Sizes(queries=25, keys=35, dim=8, value_dim=20))
    row = draw(35, seed=4).requires_grad_()
    wide = row.expand(2, 4, 25, 35)
    by = draw(2, 4, 25, 20, seed=6)
    first = torch.autograd.grad(heedful.attend(*given, bias=wide, impl="cpu"), row, by)[0]
    other = torch.autograd.grad(heedful.attend(*given, bias=row, impl="cpu"), row, by)[0]
    torch.testing.assert_close(first, other)


# ---- what is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize("asked", NAMES)
def test_the_gradient_of_one_input_alone(asked):
    given = dict(zip(NAMES, tensors(Sizes(queries=25, keys=35)), strict=False))
    given["bias"] = draw(4, 1, 35, seed=4)
    _, every, by = gradients(tuple(given.values())[:3], bias=given["bias"])
    leaf = given[asked] = given[asked].clone().requires_grad_()
    output = heedful.attend(**given, impl="cpu")
    output.backward(by)
    assert torch.equal(leaf.grad, every[NAMES.index(asked)])
    assert all(x.grad is None for name, x in given.items() if name != asked)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keys", [7, 35, 2100])
def test_rows_that_see_nothing_have_no_gradient(dtype, keys):
    sizes = Sizes(batch=2, heads=2, kv_heads=1, queries=25, keys=keys, dim=8, value_dim=20)
    mask = Mask.lengths(torch.tensor([0, keys - 1]))
    _, found, _ = gradients(tensors(sizes, dtype), mask=mask, bias=draw(2, 2, 1, keys, seed=4))
    for gradient in found:
        assert (gradient[0] == 0).all()
        assert gradient[1].isfinite().all()
        assert gradient[1].abs().max() > 0
    for gradient in found[1:3]:
        assert (gradient[1, :, -1] == 0).all()
    table = torch.ones(25, keys, dtype=torch.bool)
    table[3] = False
    _, found, _ = gradients(tensors(sizes, dtype), mask=Mask.dense(table))
    assert (found[0][:, :, 3] == 0).all()
    assert found[0][:, :, 4].abs().max() > 0


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("keys, length", [(8, 6), (300, 37), (2100, 1101)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_padding_may_hold_anything(bad, keys, length, dtype):
    given = tensors(Sizes(queries=30, keys=keys, dim=8, value_dim=20), dtype)
    mask = Mask.lengths(torch.tensor([length, 0]))
    want, wanted, _ = gradients(given, mask=mask)
    for tensor in given[1:]:
        tensor[0, :, length:] = bad
        tensor[1] = bad
    output, found, _ = gradients(given, mask=mask)
    assert torch.equal(output, want)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


# ---- layouts -------------------------------------------------------------------------------------


def projected(x):
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def every_other(x):
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), torch.nan)
    return wide[..., ::2].copy_(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [projected, every_other])
def test_layout_does_not_matter(dtype, layout):
    given = tensors(Sizes(kv_heads=2, queries=30, keys=40, dim=16, value_dim=19), dtype)
    _, want, by = gradients(given)
    for moved, upstream in ((tuple(map(layout, given)), by), (given, layout(by))):
        _, found, _ = gradients(moved, by=upstream)
        for one, other in zip(found, want, strict=True):
            assert torch.equal(one, other)


def test_gradients_of_a_sum_and_of_repeated_rows():
    given = tensors(Sizes(queries=30, keys=40, dim=16, value_dim=19))
    one = torch.ones((), dtype=torch.float32).expand(2, 4, 30, 19)
    _, want, _ = gradients(given, by=torch.ones(2, 4, 30, 19))
    for by in (one, torch.ones(1, 1, 1, 19).expand(2, 4, 30, 19)):
        _, found, _ = gradients(given, by=by)
        assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))
    leaves = leaves_of(given)
    heedful.attend(*leaves, impl="cpu").sum().backward()
    assert all(torch.equal(a.grad, b) for a, b in zip(leaves, want, strict=True))


def test_expanded_heads_get_the_sum():
    query, key, value = tensors(Sizes(kv_heads=1, queries=30, keys=40, dim=16, value_dim=19))
    leaf = key.clone().requires_grad_()
    by = draw(2, 4, 30, 19, seed=6)
    wide = heedful.attend(query, leaf.expand(2, 4, 40, 16), value.expand(2, 4, 40, 19), impl="cpu")
    found = torch.autograd.grad(wide, leaf, by)[0]
    want = torch.autograd.grad(heedful.attend(query, leaf, value, impl="cpu"), leaf, by)[0]
    torch.testing.assert_close(found, want)


# ---- the same every time -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sizes", [SIZES["tiles"], SIZES["parts"], SIZES["shared"]])
def test_not_one_bit_depends_on_threads_or_on_the_day(threads, dtype, sizes):
    given, bias = tensors(sizes, dtype), draw(sizes.keys, seed=4)
    threads(1)
    want = gradients(given, bias=bias)[1]
    for count in (1, 2, 4, 2):
        threads(count)
        for one, other in zip(gradients(given, bias=bias)[1], want, strict=True):
            assert torch.equal(one, other)


def test_a_graph_that_is_kept_gives_its_gradient_twice():
    leaves = leaves_of(tensors(Sizes(queries=30, keys=40)))
    output = heedful.attend(*leaves, impl="cpu")
    first = torch.autograd.grad(output.sum(), leaves, retain_graph=True)
    second = torch.autograd.grad(output.sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_input_that_was_written_to_is_noticed():
    leaves = leaves_of(tensors(Sizes(queries=30, keys=40)))
    key = leaves[1] * 1
    output = heedful.attend(leaves[0], key, leaves[2], impl="cpu")
    key.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_a_second_gradient_is_refused():
    leaves = leaves_of(tensors(Sizes(queries=30, keys=40)))
    output = heedful.attend(*leaves, impl="cpu")
    first = torch.autograd.grad((output**2).sum(), leaves, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first[0].sum().backward()
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first[0].sum(), leaves)


def test_checkpoints():
    query, key, value = leaves_of(tensors(Sizes(queries=30, keys=40)))
    plain = torch.autograd.grad(heedful.attend(query, key, value, impl="cpu").sum(), query)[0]
    again = torch.utils.checkpoint.checkpoint(
        lambda *x: heedful.attend(*x, impl="cpu"), query, key, value, use_reentrant=False
    )
    assert torch.equal(torch.autograd.grad(again.sum(), query)[0], plain)
