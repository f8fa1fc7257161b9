"""What was found once is not looked for again, and equal modules have one signature."""

import pytest
from torch import nn

from heedful.allocation.adapters.structure.known import kept, signature_of
from heedful.errors import UnsupportedError


def test_asks_once_and_remembers_refusals():
    asked = []

    def ask():
        asked.append(1)
        raise UnsupportedError("never")

    for _ in range(2):
        with pytest.raises(UnsupportedError, match="never"):
            kept(ask, "a key of this test")
    assert len(asked) == 1
    assert kept(lambda: 3, "another key of this test") == kept(
        lambda: 4, "another key of this test"
    )


def test_signatures_tell_shapes_and_numbers_apart_but_not_layers():
    one, other, third = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(3, 5)
    one.layer_idx, other.layer_idx = 0, 1
    assert signature_of(one) == signature_of(other) != signature_of(third)
    other.heads = 2
    assert signature_of(one) != signature_of(other)
