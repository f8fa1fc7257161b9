"""Who leads a search is written down, without a password, and no other search is taken part in."""

import re

import pytest

from heedful.errors import RunError
from heedful.optimizing.company import Announced, Company, announced


def test_nobody_is_there_unless_somebody_is_started():
    assert (Company().storage, Company().here()) == (None, 0)


def said(**other):
    about = {"budget": "chrf 1", "settings": {"seed": 1}, "machine": "this"}
    found = {"leader": 2, "name": "x", "storage": "sqlite:///a", "about": about}
    return Announced(**(found | other))


def test_who_leads_is_read_as_it_was_written(tmp_path):
    assert announced(tmp_path) is None
    said().write(tmp_path)
    assert announced(tmp_path) == said()
    (tmp_path / "leader.json").write_text('{"leader": 1}')
    with pytest.raises(RunError, match="must say who leads a search, got something else"):
        announced(tmp_path)


def test_whoever_takes_part_asks_for_the_same():
    about = {**said().about, "machine": "another"}
    said().check(about, "sqlite:///a")
    message = "must ask for the same search, got a difference in settings.seed"
    with pytest.raises(RunError, match=message):
        said().check({**about, "settings": {"seed": 2}}, "sqlite:///a")
    message = re.escape("--storage must be the same for all commands, got none for sqlite:///a")
    with pytest.raises(RunError, match=message):
        said().check(about, None)
    secret = "postgresql://me:secret@there/x"
    with pytest.raises(RunError, match=re.escape("got postgresql://me:***@there/x for")):
        said().check(about, secret)
