"""First blocks, own blocks and those just behind are kept, wherever queries stand."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.selection import always_kept


@pytest.mark.parametrize("align", ["end", "start"])
@pytest.mark.parametrize("sinks, window", [(0, 0), (1, 1), (2, 0), (0, 3)])
@pytest.mark.parametrize(
    "queries, keys", [(21, 29), (29, 21), (16, 16), (17, 17), (1, 30), (30, 1), (3, 8), (0, 5)]
)
@pytest.mark.parametrize("block", [1, 4, 7])
def test_is_what_loops_say(queries, keys, sinks, window, align, block):
    offset = keys - queries if align == "end" else 0
    want = torch.zeros(1, 1, -(-queries // block), -(-keys // block), dtype=torch.bool)
    for row in range(want.shape[2]):
        positions = range(row * block, min((row + 1) * block, queries))
        own = {(i + offset) // block for i in positions}
        for column in range(want.shape[3]):
            behind = any(0 <= place - column <= window for place in (min(own), max(own)))
            want[0, 0, row, column] = column < sinks or column in own or behind
    kept = always_kept(queries, keys, block=block, sinks=sinks, window=window, align=align)
    assert torch.equal(kept, want)


def test_by_hand():
    kept = always_kept(20, 20, block=4)[0, 0].int().tolist()
    assert kept == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 0, 1, 1, 0],
        [1, 0, 0, 1, 1],
    ]
    assert always_kept(4, 10, block=4, sinks=0, window=0)[0, 0].int().tolist() == [[0, 1, 1]]


def test_lives_where_it_is_told():
    assert always_kept(4, 4, block=2, device="meta").device.type == "meta"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"queries": -1}, "queries must be at least 0, got -1"),
        ({"keys": -2}, "keys must be at least 0, got -2"),
        ({"block": 0}, "block must be at least 1, got 0"),
        ({"sinks": -3}, "sinks must be at least 0, got -3"),
        ({"window": -4}, "window must be at least 0, got -4"),
        ({"align": "middle"}, "align must be 'end' or 'start', got 'middle'"),
    ],
)
def test_rejects(changes, message):
    call = {"queries": 5, "keys": 7, "block": 2} | changes
    with pytest.raises(ConfigError, match=re.escape(message)):
        always_kept(call.pop("queries"), call.pop("keys"), **call)
