"""What cannot be explained has a reason in its place; what is a bug stays one."""

import pytest

from heedful.errors import DataError, UnsupportedError
from heedful.explaining.attempt import attempt
from heedful.explaining.explanation import NotExplainable


@pytest.mark.parametrize("kind", [DataError, UnsupportedError])
def test_a_reason_stands_in_its_place(kind):
    def explain():
        raise kind("a text must hold a token, got none")

    assert attempt(explain) == NotExplainable("a text must hold a token, got none")
    assert attempt(lambda: "found") == "found"


def test_a_bug_is_no_reason():
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 / 0)
