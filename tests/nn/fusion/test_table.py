"""Every file of the family has a row and a test file, and its module keeps the common promises."""

from pathlib import Path

import pytest
import torch
from torch import nn

import heedful.nn.fusion
from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.fusion import (
    FUSIONS,
    ConformerBlock,
    ConvolutionValues,
    GatedEma,
    GatedRecurrence,
    LocalConvolution,
)
from heedful.testing.tolerance import assert_close

FOLDER = Path(heedful.nn.fusion.__file__).parent
WIDTH, LENGTH = 6, 7
PADDING = Mask.lengths(torch.tensor([4, 7]))


def draw(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def conformer(causal):
    attention = Attention(width=WIDTH, heads=2)
    return ConformerBlock(attention=attention, width=WIDTH, kernel=3, causal=causal)


def conv_value(causal):
    return Attention(width=WIDTH, heads=2, mechanism=ConvolutionValues(heads=2, dim=3, kernel=5))


def gated_ema(causal):
    return GatedEma(width=WIDTH, dim=4, hidden=5, ema_dim=2, causal=causal)


def gated_recurrence(causal):
    return GatedRecurrence(width=WIDTH, heads=2, dim=4)  # always causal


def local_convolution(causal):
    return LocalConvolution(width=WIDTH, kernel=5)  # looks ahead where the mask lets it


BUILDERS = {
    "conformer": conformer,
    "conv_value": conv_value,
    "gated_ema": gated_ema,
    "gated_recurrence": gated_recurrence,
    "local_convolution": local_convolution,
}


def build(name, *, causal=False, dtype=torch.float64):
    """The module of a row as self-attention, with parameters that are all away from 0."""
    module = BUILDERS[name](causal).double()
    for seed, parameter in enumerate(module.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.5)
    return module.to(dtype)


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


def test_table_lists_every_file():
    files = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert list(FUSIONS) == sorted(files)
    assert list(BUILDERS) == list(FUSIONS)


@pytest.mark.parametrize("name", FUSIONS)
def test_row_is_the_class_of_its_file_with_its_tests(name):
    assert FUSIONS[name].__module__ == f"heedful.nn.fusion.{name}"
    assert (Path(__file__).parent / f"test_{name}.py").exists()
    assert "arXiv:" in FUSIONS[name].__doc__


@pytest.mark.parametrize("mask", [None, PADDING], ids=repr)
@pytest.mark.parametrize("name", FUSIONS)
def test_gradients_are_quotients_of_differences(name, mask):
    module = build(name)
    parameters = dict(module.named_parameters())
    mask = mask and mask.select(torch.tensor([0]))

    def call(x, *values):
        given = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(module, given, (x,), {"mask": mask})

    x = draw(1, LENGTH, WIDTH).requires_grad_()
    assert torch.autograd.gradcheck(call, (x, *parameters.values()), fast_mode=True)
    call(x, *parameters.values()).square().sum().backward()
    for key, parameter in parameters.items():
        if not key.endswith("attention.key.bias") and key != "key.bias":  # the same for all keys
            assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("worth", [1e6, -3.0])
@pytest.mark.parametrize(
    "keep", [[1, 1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 1, 0]], ids=["end", "inside"]
)
@pytest.mark.parametrize("name", FUSIONS)
def test_hidden_positions_cannot_matter(name, keep, worth):
    module, x, keep = build(name), draw(2, LENGTH, WIDTH), torch.tensor(keep).bool()
    mask = Mask.dense(keep[None])
    before = module(x, mask=mask)
    after = module(x.masked_fill(~keep[:, None], worth), mask=mask)
    assert torch.equal(before[:, keep], after[:, keep])


@pytest.mark.parametrize("name", FUSIONS)
def test_the_future_cannot_matter(name):
    module, x = build(name, causal=True), draw(2, LENGTH, WIDTH)
    whole = module(x, mask=Mask.causal())
    for stop in range(1, LENGTH):
        changed = x.clone()
        changed[:, stop:] = 1e6
        assert torch.equal(module(changed, mask=Mask.causal())[:, :stop], whole[:, :stop])
        same(module(x[:, :stop], mask=Mask.causal()), whole[:, :stop])


@pytest.mark.parametrize("name", FUSIONS)
def test_neighbours_matter(name):
    module, x = build(name), draw(2, LENGTH, WIDTH)
    order = torch.tensor([0, 2, 1, 3, 4, 6, 5])
    assert (module(x[:, order]) - module(x)[:, order]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "mask",
    [
        Mask.window(2),
        Mask.segments(torch.zeros(2, LENGTH).long()),
        Mask.dense(torch.ones(LENGTH, LENGTH).bool().tril()),
        Mask.causal() | PADDING,
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", FUSIONS)
def test_a_mask_of_pairs_is_refused(name, mask):
    module, x = build(name, causal=True), draw(2, LENGTH, WIDTH)
    match = "mask must be causal or hide the same keys from every query, or both, because the "
    with pytest.raises(UnsupportedError, match=match):
        module(x, mask=mask)
    if hasattr(module, "weights"):  # a convolution alone has none
        with pytest.raises(UnsupportedError, match=match):
            module.weights(x, mask=mask)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", FUSIONS)
def test_keeps_the_dtype(name, dtype):
    x = draw(2, LENGTH, WIDTH, dtype=dtype)
    output = build(name, dtype=dtype)(x, mask=PADDING)
    assert output.dtype == dtype
    assert output.isfinite().all()
    exact = build(name)(x.double(), mask=PADDING)
    assert (output.double() - exact).abs().max() < torch.finfo(dtype).eps * 60


@pytest.mark.parametrize("name", FUSIONS)
def test_batch_rows_do_not_meet(name):
    module, x = build(name), draw(2, LENGTH, WIDTH)
    want = module(x, mask=PADDING)
    for row in range(2):
        alone = PADDING.select(torch.tensor([row]))
        same(module(x[row : row + 1], mask=alone), want[row : row + 1])


@pytest.mark.parametrize("name", FUSIONS)
def test_memory_layout_does_not_matter(name):
    module, x = build(name), draw(2, LENGTH, WIDTH)
    strided = draw(2, WIDTH, 2 * LENGTH)[:, :, ::2].mT.copy_(x)
    assert not strided.is_contiguous()
    same(module(strided, mask=PADDING), module(x, mask=PADDING))


@pytest.mark.parametrize("mask", [None, PADDING, Mask.causal() & PADDING], ids=repr)
@pytest.mark.parametrize("name", FUSIONS)
def test_export_and_compile_are_eager(name, mask):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = build(name, causal=True)

        def forward(self, x):
            return self.module(x, mask=mask)

    x, call = draw(2, LENGTH, WIDTH), Masked()
    same(torch.export.export(call, (x,)).module()(x), call(x))
    torch.compiler.reset()
    same(torch.compile(call, fullgraph=True, backend="aot_eager")(x), call(x))
    torch.compiler.reset()
