"""Old names work as the new ones do, and say so; what never was a name is none."""

import inspect
from dataclasses import dataclass

import pytest

from heedful.renamed import old_keywords, old_names


@old_keywords(heal="finetune")
@dataclass(frozen=True, kw_only=True)
class Made:
    finetune: int = 1


@old_keywords(heal="finetune")
def call(first, *, finetune=1):
    """Said."""
    return first, finetune


def test_an_old_keyword_is_the_new_one_with_a_warning_where_it_was_called():
    with pytest.warns(DeprecationWarning, match="^heal of Made is now finetune$") as found:
        assert Made(heal=3) == Made(finetune=3)
    assert found[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="^heal of call is now finetune$"):
        assert call(0, heal=3) == (0, 3)


def test_an_old_value_can_be_made_a_new_one():
    @old_keywords(keep=("lose", lambda value: -value))
    def lost(*, lose):
        return lose

    with pytest.warns(DeprecationWarning, match="^keep of lost is now lose$"):
        assert lost(keep=-2) == 2


def test_the_new_keyword_and_neither_are_taken_in_silence():
    assert (Made(finetune=2).finetune, Made().finetune, call(0, finetune=4)) == (2, 1, (0, 4))


def test_both_at_once_are_refused():
    with pytest.raises(TypeError, match=r"call\(\) must get finetune once, got heal as well"):
        call(0, heal=1, finetune=2)


def test_what_is_called_still_says_what_it_is():
    assert (call.__doc__, list(inspect.signature(call).parameters)) == (
        "Said.",
        ["first", "finetune"],
    )
    assert list(inspect.signature(Made).parameters) == ["finetune"]


def test_an_old_name_of_a_module_is_the_new_thing():
    find = old_names("a.module", Old=Made)
    with pytest.warns(DeprecationWarning, match=r"^a\.module\.Old is now Made$"):
        assert find("Old") is Made
    with pytest.raises(AttributeError, match=r"module 'a\.module' has no attribute 'Other'"):
        find("Other")
