"""Every file of the family has a row and a test file, and its module keeps the common promises."""

import re
from pathlib import Path

import pytest
import torch

import heedful.nn.co
from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.co import CO_MODULES
from heedful.testing.tolerance import assert_close

FOLDER = Path(heedful.nn.co.__file__).parent
SIZES = {
    "alternating": {"context_width": 3, "query_width": 4, "hidden": 6},
    "bidaf": {"width": 4},
    "cross_modal": {"first_width": 3, "second_width": 4, "heads": 2, "dim": 5},
    "parallel": {"context_width": 3, "query_width": 4, "hidden": 6},
}
LENGTHS = (torch.tensor([4, 7]), torch.tensor([5, 2]))


def draw(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def build(name, dtype=torch.float64):
    torch.manual_seed(0)
    return CO_MODULES[name](**SIZES[name]).to(dtype)


def texts(name, dtype=torch.float64):
    return draw(2, 7, 4 if name == "bidaf" else 3, dtype=dtype), draw(2, 5, 4, seed=2, dtype=dtype)


def masks(name, lengths=LENGTHS):
    names = (
        ("first_mask", "second_mask") if name == "cross_modal" else ("context_mask", "query_mask")
    )
    return {key: Mask.lengths(x) for key, x in zip(names, lengths, strict=True)}


def same(actual, want):
    for one, other in zip(actual, want, strict=True):
        assert_close(one, other, roundings=300, largest=max(1.0, other.abs().max().item()))


def test_table_lists_every_file():
    files = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert list(CO_MODULES) == sorted(files)
    assert list(SIZES) == list(CO_MODULES)


@pytest.mark.parametrize("name", CO_MODULES)
def test_row_is_the_class_of_its_file_with_its_tests(name):
    assert CO_MODULES[name].__module__ == f"heedful.nn.co.{name}"
    assert (Path(__file__).parent / f"test_{name}.py").exists()
    assert "arXiv:" in CO_MODULES[name].__doc__


@pytest.mark.parametrize("name", CO_MODULES)
def test_gradients_reach_every_parameter_and_are_right(name):
    module = build(name)
    inputs = [x.requires_grad_() for x in texts(name)]
    parameters = dict(module.named_parameters())

    def call(first, second, *values):
        given = dict(zip(parameters, values, strict=True))
        return tuple(torch.func.functional_call(module, given, (first, second), masks(name)))

    sum(x.square().sum() for x in call(*inputs, *parameters.values())).backward()
    for key, parameter in parameters.items():
        if key.endswith("attention.key.bias"):  # adds the same to every score of a query
            continue
        assert parameter.grad.abs().max() > 0, key
    small = [x[:1, :3].detach().requires_grad_() for x in inputs]
    given = {key: None for key in masks(name)}

    def short(first, second):
        return tuple(module(first, second, **given))

    assert torch.autograd.gradcheck(short, small)


@pytest.mark.parametrize("worth", [1e6, -3.0])
@pytest.mark.parametrize("name", CO_MODULES)
def test_hidden_positions_cannot_matter(name, worth):
    module = build(name)
    whole = texts(name)
    before = module(*whole, **masks(name))
    gone = [torch.arange(7) >= LENGTHS[0][:, None], torch.arange(5) >= LENGTHS[1][:, None]]
    changed = [x.masked_fill(y[..., None], worth) for x, y in zip(whole, gone, strict=True)]
    after = module(*changed, **masks(name))
    for which, (one, other) in enumerate(zip(after, before, strict=True)):
        if name == "cross_modal":  # each stream still makes something of its own padding
            one, other = one[~gone[which]], other[~gone[which]]
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", CO_MODULES)
def test_keeps_the_dtype(name, dtype):
    output = build(name, dtype)(*texts(name, dtype), **masks(name))
    assert {x.dtype for x in output} == {dtype}
    assert all(x.isfinite().all() for x in output)


@pytest.mark.parametrize("name", CO_MODULES)
def test_batch_rows_do_not_meet(name):
    module, (first, second) = build(name), texts(name)
    want = module(first, second, **masks(name))
    for row in range(2):
        lengths = [x[row : row + 1] for x in LENGTHS]
        actual = module(first[row : row + 1], second[row : row + 1], **masks(name, lengths))
        same(actual, [x[row : row + 1] for x in want])


@pytest.mark.parametrize("name", CO_MODULES)
def test_memory_layout_does_not_matter(name):
    module, (first, second) = build(name), texts(name)
    strided = [x.mT.contiguous().mT for x in (first, second)]
    assert not strided[0].is_contiguous()
    same(module(*strided, **masks(name)), module(first, second, **masks(name)))


@pytest.mark.parametrize("name", CO_MODULES)
def test_export_is_eager(name):
    module, inputs = build(name), texts(name)

    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, first, second):
            return tuple(self.module(first, second, **masks(name)))

    same(torch.export.export(Masked(), inputs).module()(*inputs), Masked()(*inputs))


@pytest.mark.parametrize(
    "name, size", [(name, size) for name, sizes in SIZES.items() for size in sizes]
)
def test_rejects_sizes_below_one(name, size):
    with pytest.raises(ConfigError, match=re.escape(f"{size} must be at least 1, got 0")):
        CO_MODULES[name](**SIZES[name] | {size: 0})
    with pytest.raises(TypeError):
        CO_MODULES[name](*SIZES[name].values())
