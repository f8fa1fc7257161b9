"""What was found of a module reads its numbers, and gives fewer of them back."""

import torch
from torch import nn

from heedful.allocation.adapters.structure.find import find
from heedful.allocation.adapters.structure.structure import fill_layers, geometry_of, read

from .test_find import Biased, Fused, Gated
from .toy import DIM, HEADS, WIDTH, Toy
from .vision import Beit


def numbered(module):
    """The same module, every number of it another."""
    count = 0
    for parameter in module.parameters():
        parameter.data = torch.arange(count, count + parameter.numel(), dtype=torch.float32).view(
            parameter.shape
        )
        count += parameter.numel()
    return module


def fewer(numbers, heads):
    names = ("query", "key", "value")
    names = (*names, *(f"{name}_bias" for name in names), "out")
    return numbers.with_(**{name: getattr(numbers, name)[heads] for name in names}, origin=heads)


def test_reads_rows_head_by_head():
    module = numbered(Toy(kv_heads=1))
    numbers, found = read(module, find(module)), find(module)
    assert torch.equal(numbers.query, module.q.weight.unflatten(0, (HEADS, DIM)))
    assert torch.equal(numbers.key_bias, module.k.bias[None])
    assert torch.equal(numbers.out, module.o.weight.T.unflatten(0, (HEADS, DIM)))
    assert torch.equal(numbers.out_bias, module.o.bias)
    geometry = geometry_of(module, found)
    assert geometry == numbers.geometry
    assert (geometry.heads, geometry.kv_heads, geometry.width) == (HEADS, 1, WIDTH)


def test_gives_rows_back_in_the_order_that_they_had():
    module = numbered(Fused())
    found, before = find(module), module.q.weight.clone()
    fill_layers(module, found, read(module, found))
    assert torch.equal(module.q.weight, before)
    fill_layers(module, found, fewer(read(module, found), [0, 2]))
    kept = before.view(DIM, HEADS, 3, WIDTH)[:, [0, 2]]
    assert torch.equal(module.q.weight, kept.flatten(0, 2))
    assert (module.q.out_features, module.o.in_features) == (3 * 2 * DIM, 2 * DIM)
    assert isinstance(module.q.weight, nn.Parameter)


def test_gates_and_companions_are_cut_with_their_heads():
    module = numbered(Gated())
    found, before = find(module), module.g.weight.clone()
    fill_layers(module, found, fewer(read(module, found), [1]))
    assert torch.equal(module.g.weight, before[DIM : 2 * DIM])
    module = numbered(Biased())
    found, before = find(module), module.bias.clone()
    fill_layers(module, found, fewer(read(module, found), [0, 2]))
    assert torch.equal(module.bias, before[:, [0, 2]])


def test_biases_outside_of_a_layer_take_part_and_stay_outside():
    module = numbered(Beit())
    found = find(module)
    numbers = read(module, found)
    assert torch.equal(numbers.query_bias.flatten(), module.q_bias)
    assert torch.equal(numbers.key_bias.flatten(), module.k_bias)
    new = fewer(numbers, [2])
    fill_layers(module, found, new.with_(value_bias=new.value_bias + 1))
    assert torch.equal(module.q_bias, numbers.query_bias[2])
    assert torch.equal(module.v_bias, numbers.value_bias[2] + 1)
    assert module.qkv.bias is None
    module, names = numbered(Beit()), [f"{name}_bias" for name in ("query", "key", "value")]
    fill_layers(module, found, new.with_(**dict.fromkeys(names)))
    assert not module.q_bias.any()
    assert len(module.v_bias) == DIM
