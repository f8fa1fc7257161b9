"""A user's own moves have names in plans, and what no plan can hold is refused."""

from dataclasses import dataclass
from typing import Any

import pytest

from heedful.allocation.moves import MOVES, DropSite, Move
from heedful.allocation.moves.named import class_name, kinds_of_moves, name_of
from heedful.errors import UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Holds(Move):
    what: Any

    def edit(self, site, moments):
        return site


class Bare(Move):
    def edit(self, site, moments):
        return site


def test_heedfuls_own_have_a_word_and_others_their_class():
    assert name_of(DropSite()) == "drop_site"
    assert name_of(Holds(what=(1, 2))) == class_name(Holds) == f"{__name__}:Holds"


@pytest.mark.parametrize("what", [1, -2.5, True, "text", (), (1, 2)])
def test_what_a_plan_can_hold_is_taken(what):
    assert name_of(Holds(what=what))


@pytest.mark.parametrize("what", [None, [1], (1.5,), (True,), float("nan"), {"a": 1}])
def test_what_no_plan_can_hold_is_refused(what):
    with pytest.raises(UnsupportedError, match=r"a move must hold whole numbers, .* in Holds"):
        name_of(Holds(what=what))


def test_a_move_that_is_no_dataclass_is_refused():
    with pytest.raises(UnsupportedError, match="a move must be a dataclass, got Bare"):
        name_of(Bare())


def test_only_given_classes_stand_beside_heedfuls():
    assert kinds_of_moves() == MOVES
    assert kinds_of_moves([Holds]) == MOVES | {f"{__name__}:Holds": Holds}
    for wrong in (int, DropSite(), "drop_site"):
        with pytest.raises(UnsupportedError, match="moves must be classes of moves, got "):
            kinds_of_moves([wrong])
