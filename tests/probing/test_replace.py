"""Something else stands in the place of an attribute, for a while."""

import pytest

from heedful.probing.replace import replaced


class Owner:
    name = "inherited"


@pytest.mark.parametrize("own", [True, False])
def test_the_attribute_comes_back(own):
    owner = Owner()
    if own:
        owner.name = "own"
    before = dict(vars(owner))
    with replaced(owner, "name", 1), replaced(owner, "name", 2):
        assert owner.name == 2
    assert vars(owner) == before
    with pytest.raises(KeyError), replaced(owner, "name", 3):
        raise KeyError
    assert vars(owner) == before
    assert Owner.name == "inherited"
