"""Heads keep the numbers that they had before any was removed."""

from types import SimpleNamespace

from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan
from heedful.reporting.heads import kept_heads


def test_heads_keep_their_first_numbers_through_several_moves():
    plan = Plan(
        moves={
            "a": (KeepHeads(heads=(0, 2, 5)), KeepHeads(heads=(1, 2))),
            "b": (DropSite(),),
            "c": (),
        }
    )
    found = kept_heads(SimpleNamespace(plan=plan))
    assert found == {"a": (2, 5), "b": (), "c": None}
    assert kept_heads(SimpleNamespace(plan=None)) == {}
