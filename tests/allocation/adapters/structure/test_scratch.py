"""A scratch copy has the structure of a module, and numbers of its own."""

import pytest
import torch
from torch import nn

from heedful.allocation.adapters.structure.scratch import forget, scratch
from heedful.errors import UnsupportedError
from heedful.nn.low_precision import LowPrecisionLinear


def module():
    new = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    new[1].running_mean += 2
    return new.to(torch.bfloat16)


def test_has_other_numbers_and_the_same_buffers():
    old = module()
    old.register_forward_hook(lambda *_: 1 / 0)
    new = scratch(old, folded=False)
    assert new[0].weight.dtype == torch.float64
    assert not torch.equal(new[0].weight.bfloat16(), old[0].weight)
    assert new[1].running_mean.tolist() == [2.0] * 5
    assert new(torch.zeros(2, 3, dtype=torch.float64)).shape == (2, 5)
    assert torch.equal(new[0].weight, scratch(old, folded=False)[0].weight)
    folded, x = scratch(old), torch.randn(2, 3, dtype=torch.float64)
    assert isinstance(folded[1], nn.Identity)
    torch.testing.assert_close(folded(x), new(x))


def test_is_made_of_layers_of_few_bits_and_of_the_meta_device():
    low = nn.Sequential(LowPrecisionLinear(3, 5, precision="int8"))
    assert type(scratch(low)[0]) is nn.Linear
    assert scratch(nn.Linear(3, 5, device="meta")).weight.device.type == "cpu"


def of_words():
    new = nn.Embedding(3, 4)
    new.weight = nn.Parameter(torch.zeros(3, 4, dtype=torch.int8), requires_grad=False)
    return new


class Closed(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("closed")


@pytest.mark.parametrize(
    "make, reason",
    [
        (of_words, "its weight holds torch.int8"),
        (lambda: nn.BatchNorm1d(5, device="meta"), "its running_mean is on the meta device"),
        (lambda: Closed(3, 4), "it cannot be copied: closed"),
    ],
)
def test_refuses(make, reason):
    module = make()
    with pytest.raises(UnsupportedError, match=reason):
        scratch(module)


class Keeping(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept, self.names = {"cpu": torch.ones(2)}, {"a": 1}
        self.own = nn.Parameter(torch.ones(3))


def test_what_was_kept_of_earlier_calls_is_forgotten():
    module = Keeping()
    assert scratch(module).kept == {}
    assert list(module.kept) == ["cpu"]
    forget(module)
    assert (module.kept, module.names) == ({}, {"a": 1})
    assert len(list(module.parameters())) == 1
