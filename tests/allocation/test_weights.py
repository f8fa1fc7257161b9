"""Every number once, into a model of the same shapes, or not at all."""

import copy
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from heedful.allocation.weights import compact_weights_of, fill, read_tensors, weights_of
from heedful.errors import RunError
from heedful.nn.low_precision import LowPrecisionLinear


class Model(nn.Module):
    """Two layers that share a weight, and buffers of which one is kept."""

    def __init__(self, width=4):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("made", torch.zeros(5), persistent=False)


def test_shared_numbers_stand_there_once():
    model = Model()
    found = weights_of(model)
    assert found.keys() == {"first.weight", "first.bias", "second.bias", "kept"}
    assert all(not tensor.requires_grad and tensor.is_contiguous() for tensor in found.values())


def test_out_and_in_again_also_where_numbers_are_shared(tmp_path):
    model, other = Model(), Model()
    path = tmp_path / "model.safetensors"
    save_file(weights_of(model), path)
    shared = other.first.weight
    fill(other, read_tensors(path), path)
    assert other.second.weight is other.first.weight is shared
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert other.first.weight.requires_grad


def test_a_view_that_is_not_contiguous_is_saved_as_it_reads(tmp_path):
    model = nn.Linear(3, 5, bias=False)
    model.weight.data = torch.randn(3, 5).T
    path = tmp_path / "x.safetensors"
    save_file(weights_of(model), path)
    assert torch.equal(read_tensors(path)["weight"], model.weight)


def test_numbers_take_the_precision_of_the_model():
    model, other = nn.Linear(2, 2).bfloat16(), nn.Linear(2, 2)
    fill(other, weights_of(model), "x")
    assert other.weight.dtype == torch.float32
    assert torch.equal(other.weight, model.weight.float())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda stored: stored.pop("kept"), "x must fit the model, got a difference in kept"),
        (
            lambda stored: stored.update(a=torch.ones(1), b=torch.ones(1)),
            "x must fit the model, got a difference in a, b",
        ),
        (
            lambda stored: stored.update({"second.bias": torch.ones(7)}),
            "x must fit the model, got second.bias of shape (7,) for (4,)",
        ),
        (
            lambda stored: stored.update({"second.bias": torch.ones(4, dtype=torch.int64)}),
            "x must fit the model, got second.bias of int64 for float32",
        ),
        (
            lambda stored: stored.update({"second.bias": torch.ones(4, dtype=torch.complex64)}),
            "x must fit the model, got second.bias of complex64 for float32",
        ),
        (
            lambda stored: stored["first.weight"][1, 2:].fill_(torch.nan),
            "x must hold numbers, got some that are none (NaN) in first.weight",
        ),
    ],
)
def test_numbers_of_another_model_change_nothing(change, message):
    model = Model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stored = {name: tensor + 1 for name, tensor in weights_of(model).items()}
    change(stored)
    with pytest.raises(RunError, match=re.escape(message)):
        fill(model, stored, "x")
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"a checkpoint must hold x\.safetensors, got none in"):
        read_tensors(tmp_path / "x.safetensors")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(RunError, match="must be readable, got: Is a directory"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80" * 40])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(RunError, match="must be whole, got a damaged file"):
        read_tensors(tmp_path / "x.safetensors")


class Low(nn.Module):
    def __init__(self, precision):
        super().__init__()
        self.layer = LowPrecisionLinear(32, 16, precision=precision)
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        return self.norm(self.layer(x))


@torch.no_grad()
@pytest.mark.parametrize("precision, share", [("int8", 0.4), ("bf16", 0.6)])
def test_layers_of_few_bits_come_back_as_they_multiply(tmp_path, precision, share):
    model, other, path = Low(precision).eval(), Low(precision).eval(), tmp_path / "x.safetensors"
    save_file(compact_weights_of(model), path)
    small, whole = (
        sum(x.numel() * x.element_size() for x in kept(model).values())
        for kept in (compact_weights_of, weights_of)
    )
    assert small < share * whole
    x = torch.randn(5, 32)
    for _ in range(2):  # into one that is as it was made, and into one that is filled already
        fill(other, read_tensors(path), path)
        assert torch.equal(other(x), model(x))
        assert other.layer.compact
    assert compact_weights_of(other).keys() == read_tensors(path).keys()


@torch.no_grad()
@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_a_file_of_full_numbers_fills_layers_of_few_bits_in_full(tmp_path, precision):
    model, other, path = Low(precision).eval(), Low(precision).eval(), tmp_path / "x.safetensors"
    save_file(weights_of(model), path)
    fill(other, read_tensors(path), path)
    assert torch.equal(other.layer.weight, model.layer.weight)
    assert not other.layer.compact


BROKEN = [
    (lambda x: x.update({"layer.weight_scale": torch.zeros(16)}), "must hold numbers, got some"),
    (lambda x: x["layer.weight_scale"].fill_(float("nan")), "must hold numbers, got some"),
    (lambda x: x["layer.weight_int8"].fill_(-128), "must hold numbers, got some"),
    (lambda x: x.update({"layer.weight_scale": torch.ones(3)}), "must fit the model, got layer"),
    (lambda x: x.update({"layer.weight_int8": torch.ones(16, 32)}), "got layer.weight_int8 of flo"),
    (lambda x: x.pop("layer.weight_scale"), "got a difference in layer.weight_scale"),
]


@torch.no_grad()
@pytest.mark.parametrize("change, message", BROKEN)
def test_what_is_no_weight_of_8_bits_is_refused_and_nothing_changed(change, message):
    model, found = Low("int8").eval(), compact_weights_of(Low("int8"))
    before = weights_of(copy.deepcopy(model))
    change(found)
    with pytest.raises(RunError, match=re.escape(message)):
        fill(model, found, "x")
    assert not model.layer.compact
    assert all(torch.equal(x, before[name]) for name, x in weights_of(model).items())


def test_8_bits_do_not_fill_a_layer_of_full_precision():
    model = Low("int8")
    model.layer = nn.Linear(32, 16)
    with pytest.raises(RunError, match=re.escape("got a difference in layer.weight, ")):
        fill(model, compact_weights_of(Low("int8")), "x")
