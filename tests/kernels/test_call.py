"""A call is checked once, with words that name what must hold and what was got."""

import math
import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.kernels import call as calls
from heedful.kernels.call import Call, check_qkv, share_heads
from heedful.mask import Mask, Pattern


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def fitting(**other):
    named = {"query": draw(2, 4, 5, 3), "key": draw(2, 2, 7, 3), "value": draw(2, 2, 7, 6)}
    return Call.of(**{**named, **other})


def test_tensors_that_fit_stay_as_they_are():
    query, key, value, bias = draw(2, 4, 5, 3), draw(2, 2, 7, 3), draw(2, 2, 7, 6), draw(5, 7)
    mask = Mask.causal()
    call = Call.of(query, key, value, mask, bias, 0.3, 0.25)
    assert call == (query, key, value, mask, bias, 0.3, 0.25)
    assert all(a is b for a, b in zip(call[:5], (query, key, value, mask, bias), strict=True))


def test_the_scale_is_one_over_the_root_of_the_dim():
    assert fitting().scale == 1 / math.sqrt(3)
    assert fitting(scale=0.0).scale == 0.0
    empty = draw(2, 4, 5, 0)
    assert Call.of(empty, empty, empty).scale == 1.0


@pytest.mark.parametrize(
    "other, message",
    [
        (
            {"query": draw(2, 5, 3)},
            "query must be 4-D (batch, heads, length, dim), got a tensor of shape (2, 5, 3)",
        ),
        (
            {"value": draw(1, 2, 2, 7, 6)},
            "value must be 4-D (batch, heads, length, dim), got a tensor of shape (1, 2, 2, 7, 6)",
        ),
        ({"key": draw(3, 2, 7, 3)}, "query and key must have the same batch size, got 2 and 3"),
        ({"value": draw(1, 2, 7, 6)}, "query and value must have the same batch size, got 2 and 1"),
        (
            {"key": draw(2, 3, 7, 3), "value": draw(2, 3, 7, 6)},
            "heads of key must divide heads of query, got kv_heads=3, heads=4",
        ),
        (
            {"key": draw(2, 0, 7, 3), "value": draw(2, 0, 7, 6)},
            "heads of key must divide heads of query, got kv_heads=0, heads=4",
        ),
        ({"key": draw(2, 2, 7, 8)}, "query and key must have the same dim, got 3 and 8"),
        ({"value": draw(2, 1, 7, 6)}, "key and value must have the same heads, got 2 and 1"),
        ({"value": draw(2, 2, 9, 6)}, "key and value must have the same length, got 7 and 9"),
        (
            {"bias": draw(7, 5)},
            "bias must broadcast to (batch, heads, queries, keys) = (2, 4, 5, 7), got (7, 5)",
        ),
    ],
)
def test_tensors_that_do_not_fit(other, message):
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        fitting(**other)


@pytest.mark.parametrize(
    "other, message",
    [
        (
            {"query": draw(2, 4, 5, 3, dtype=torch.int64)},
            "query must be floating-point, got torch.int64",
        ),
        (
            {"key": draw(2, 2, 7, 3, dtype=torch.int32)},
            "key must be floating-point, got torch.int32",
        ),
        (
            {"value": draw(2, 2, 7, 6, dtype=torch.bool)},
            "value must be floating-point, got torch.bool",
        ),
        (
            {"bias": draw(5, 7, dtype=torch.bool)},
            "bias must be floating-point (a boolean is a Mask), got torch.bool",
        ),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"query": [[1.0]]}, "query must be a tensor, got list"),
        ({"key": None}, "key must be a tensor, got NoneType"),
        ({"value": draw(2, 2, 7, 6).numpy()}, "value must be a tensor, got ndarray"),
        ({"bias": 0.5}, "bias must be a tensor, got float"),
        ({"dropout": "0.5"}, "dropout must be at least 0 and below 1, got '0.5'"),
        ({"scale": math.nan}, "scale must be a finite number, got nan"),
        ({"scale": -math.inf}, "scale must be a finite number, got -inf"),
        ({"scale": "0.5"}, "scale must be a finite number, got '0.5'"),
        ({"scale": [0.5]}, "scale must be a finite number, got [0.5]"),
        (
            {"scale": draw(1).requires_grad_()},
            "scale must be a number, got a tensor that needs a gradient, which would be lost; "
            "multiply query by it",
        ),
        ({"dropout": -0.5}, "dropout must be at least 0 and below 1, got -0.5"),
        ({"dropout": math.nan}, "dropout must be at least 0 and below 1, got nan"),
        (
            {"mask": Mask.lengths(torch.tensor([3, 8]))},
            "lengths must not exceed keys, got 8 for keys=7",
        ),
    ],
)
def test_values_that_cannot_be_used(other, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        fitting(**other)


@pytest.mark.parametrize(
    "mask, message",
    [
        (
            torch.ones(5, 7, dtype=torch.bool),
            "mask must be a heedful.Mask, got Tensor; "
            "Mask.dense(tensor) makes one, where True means: attend",
        ),
        (
            torch.ones(5, 7),
            "mask must be a heedful.Mask, got Tensor of torch.float32; numbers to add to the "
            "scores are given as bias=, truth values as Mask.dense(tensor)",
        ),
        ("causal", "mask must be a heedful.Mask, got str"),
    ],
)
def test_what_is_no_mask(mask, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        fitting(mask=mask)


@pytest.mark.parametrize(
    "other, message",
    [
        (
            {"key": draw(2, 2, 7, 3, dtype=torch.bfloat16)},
            "query, key and value must have one dtype, "
            "got torch.float32, torch.bfloat16 and torch.float32",
        ),
        (
            {"value": torch.ones(2, 2, 7, 6, device="meta")},
            "query, key and value must have one device, got cpu, cpu and meta",
        ),
    ],
)
def test_tensors_of_several_kinds(other, message):
    with pytest.raises(UnsupportedError, match=f"^{re.escape(message)}$"):
        fitting(**other)


def test_a_mask_is_checked_also_where_it_hides_nothing():
    mask = Mask.causal() & Mask.lengths(torch.tensor([7, 7, 7]))
    message = re.escape("lengths must have one entry per batch row, got 3 for batch=2")
    with pytest.raises(ShapeError, match=message):
        fitting(mask=mask)


def test_without_a_value_query_and_key_alone_are_checked():
    check_qkv(draw(2, 4, 5, 3), draw(2, 2, 7, 3))
    check_qkv(draw(2, 4, 5, 3), draw(2, 2, 7, 8), draw(2, 2, 7, 6), same_dim=False)


@pytest.mark.parametrize("shape", [(), (7,), (5, 1), (4, 5, 7), (1, 1, 1, 1), (2, 4, 5, 7)])
def test_a_bias_broadcasts(shape):
    assert fitting(bias=draw(*shape)).bias.shape == shape


@pytest.mark.parametrize("shape", [(5,), (2, 5, 7), (3, 4, 5, 7), (1, 2, 4, 5, 7), (5, 0)])
def test_a_bias_fits_where_torch_says_so(shape):
    try:
        fits = torch.broadcast_shapes(shape, (2, 4, 5, 7)) == (2, 4, 5, 7)
    except RuntimeError:
        fits = False
    assert not fits
    with pytest.raises(ShapeError, match="bias must broadcast to"):
        fitting(bias=torch.zeros(shape))


def test_autocast_casts_as_it_does_for_torch():
    with torch.autocast("cpu", torch.bfloat16):
        call = fitting(key=draw(2, 2, 7, 3, dtype=torch.float16))
        assert {x.dtype for x in call[:3]} == {torch.bfloat16}
        double = draw(2, 4, 5, 3, dtype=torch.float64)
        assert Call.of(double, double, double).query is double
    assert fitting().query.dtype == torch.float32


def test_meta_tensors_know_no_autocast():
    x = draw(2, 4, 5, 3).to("meta")
    assert Call.of(x, x, x).query is x


@pytest.mark.parametrize("name", ["query", "key", "value", "bias"])
def test_whoever_needs_a_gradient_says_so(name):
    call = fitting(bias=draw(5, 7))
    assert not call.needs_gradient()
    call = call._replace(**{name: getattr(call, name).clone().requires_grad_()})
    assert call.needs_gradient()
    with torch.no_grad():
        assert not call.needs_gradient()


# ---- the mask -----------------------------------------------------------------------------------


def test_truth_values_have_the_sizes_of_the_call():
    assert fitting().visible() is None
    assert fitting(mask=Mask.full()).visible() is None
    want = torch.ones(5, 7, dtype=torch.bool).tril(2)
    assert torch.equal(fitting(mask=Mask.causal()).visible(), want[None, None])


def test_the_pattern_of_the_call():
    assert fitting().pattern() == Pattern()
    assert fitting(mask=Mask.causal()).pattern() == Pattern(high=2)
    lengths = torch.tensor([3, 6])
    assert torch.equal(fitting(mask=Mask.lengths(lengths)).pattern().lengths, lengths)


def test_a_pattern_is_made_once_for_all_layers_and_anew_for_other_sizes():
    mask = Mask.causal() | Mask.window(3, ahead=1)
    one = fitting(mask=mask).pattern()
    assert fitting(mask=mask).pattern() is one
    other = fitting(mask=mask, query=draw(2, 4, 6, 3)).pattern()
    assert other.dense.shape[2] == 6
    assert torch.equal(fitting(mask=mask).pattern().dense, one.dense)


def test_a_mask_that_is_gone_leaves_nothing_to_whoever_gets_its_number(monkeypatch):
    monkeypatch.setattr(calls, "_patterns", {})
    for length in range(1, 30):
        mask = Mask.lengths(torch.tensor([length % 7, 7]))
        assert int(fitting(mask=mask).pattern().lengths[0]) == length % 7
        assert len(calls._patterns) <= calls.REMEMBERED
        del mask


def test_heads_are_shared_by_neighbours():
    tensor = draw(2, 2, 7, 3)
    assert share_heads(tensor, 2) is tensor
    assert torch.equal(share_heads(tensor, 4)[:, 1], tensor[:, 0])
    assert torch.equal(share_heads(tensor, 4)[:, 2], tensor[:, 1])


def test_numbers_of_8_bits_are_refused():
    tensors = [draw(1, 2, 3, 4).to(torch.float8_e4m3fn)] * 3
    message = "query must have 16 bits a number or more, got torch.float8_e4m3fn"
    with pytest.raises(UnsupportedError, match=message):
        Call.of(*tensors)


def test_any_kind_of_finite_number_is_a_scale():
    for scale in (2, np.float32(0.5), torch.tensor(0.25), True):
        assert fitting(scale=scale).scale == scale


class Crowded(dict):
    """What another thread writes to while somebody goes through it."""

    def __iter__(self):
        places = super().__iter__()
        self[object()] = None
        return places


def test_another_thread_may_take_masks_apart_meanwhile(monkeypatch):
    monkeypatch.setattr(calls, "_patterns", Crowded())
    x = torch.zeros(1, 1, 2, 3)
    masks = [Mask.lengths(torch.tensor([1 + number % 2])) for number in range(20)]
    for number, mask in enumerate(masks):
        lengths = Call.of(x, x, x, mask).pattern().lengths
        assert lengths is None if number % 2 else lengths.tolist() == [1]
    assert len(calls._patterns) == calls.REMEMBERED
