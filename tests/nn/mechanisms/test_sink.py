"""A sink as a mechanism: where it starts, and what it learns."""

import torch

from heedful.nn.mechanisms.sink import Sink


def test_starts_as_softmax_off_by_one():
    query, key, value = torch.randn(3, 2, 4, 7, 3, generator=torch.Generator().manual_seed(1))
    learned, fixed = Sink(heads=4, dim=3), Sink(heads=4, dim=3, learned=False)
    assert list(learned.state_dict()) == ["sink"]
    assert list(fixed.state_dict()) == []
    assert torch.equal(learned(query, key, value), fixed(query, key, value))
