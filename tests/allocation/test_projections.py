"""The numbers of a site, and how people read them."""

import pytest
import torch

from heedful.allocation.projections import Geometry, Mixing, Projections, Rotary


def build(**changes):
    fields = {
        "query": torch.zeros(6, 3, 12),
        "key": torch.zeros(2, 3, 10),
        "value": torch.zeros(2, 5, 10),
        "out": torch.zeros(6, 5, 9),
        "scale": 0.5,
        "origin": (0, 1, 2, 3, 4, 5),
    }
    return Projections(**fields | changes)


def test_geometry_is_read_from_the_shapes():
    sizes = {"width": 12, "context": 10, "out": 9, "heads": 6, "kv_heads": 2}
    assert build().geometry == Geometry(**sizes, dim=3, value_dim=5)
    mixing = Mixing(name="window", settings={"window": 3})
    assert build(mixing=mixing).geometry == Geometry(**sizes, dim=3, value_dim=5, mixing=mixing)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, "6 on 2 x 3/5"),
        ({"value": torch.zeros(2, 3, 10), "out": torch.zeros(6, 3, 9)}, "6 on 2 x 3"),
        ({"key": torch.zeros(6, 3, 10), "value": torch.zeros(6, 5, 10)}, "6 x 3/5"),
        ({"mixing": Mixing(name="window")}, "6 on 2 x 3/5, window"),
        ({"mixing": Mixing(name="window", settings={"window": 64})}, "6 on 2 x 3/5, window 64"),
        ({"precision": "int8"}, "6 on 2 x 3/5, int8"),
        (
            {name: torch.zeros(0, 3, 12) for name in ("query", "key", "value", "out")},
            "dropped",
        ),
    ],
)
def test_geometry_says_it_in_few_words(changes, words):
    assert str(build(**changes).geometry) == words


def test_groups_are_query_heads_for_each_key_head():
    assert build().groups == 3
    assert build(key=torch.zeros(6, 3, 10)).groups == 1
    assert build(query=torch.zeros(0, 3, 12), key=torch.zeros(0, 3, 10)).groups == 0


def test_a_copy_differs_in_what_it_was_told_only():
    first, rotary = build(), Rotary(pairs=(0, 2), whole=8)
    second = first.with_(scale=2.0, rotary=rotary)
    assert (second.scale, second.rotary) == (2.0, rotary)
    assert (first.scale, first.rotary) == (0.5, None)
    assert second.query is first.query
