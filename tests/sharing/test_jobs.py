"""Jobs that commands share: one does each of them, and what a killed one had begun waits again."""

import subprocess
import sys

import pytest

from heedful.sharing.crew import Crew
from heedful.sharing.jobs import Jobs


@pytest.fixture(params=["a journal", "a database"])
def where(request, tmp_path):
    """The folder of a crew, and the address of a database or none."""
    folder = tmp_path / "crew"
    (folder / "workers").mkdir(parents=True)
    url = None if request.param == "a journal" else f"sqlite:///{tmp_path / 'all.db'}"
    return folder, url


@pytest.fixture
def joined(where):
    """A function that joins one more command, and returns its view of the jobs."""
    crews = []

    def join():
        crew = Crew(where[0]).__enter__()
        crews.append(crew)
        with crew.joining():
            return Jobs(where[0], crew, "one", where[1])

    yield join
    for crew in crews:
        crew.__exit__()


def test_each_job_is_done_by_one(joined):
    leader, one, other = joined(), joined(), joined()
    first, second = leader.post({"what": 1}), leader.post({"what": 2})
    assert one.take() == (first, {"what": 1})
    assert other.take() == (second, {"what": 2})
    assert other.take() is None
    assert not leader.ended(first)
    one.finish(first, {"steps": 7})
    assert leader.ended(first)
    assert leader.found(first) == {"steps": 7}
    assert leader.found(second) is None


def test_who_leads_takes_back_what_nobody_has_begun(joined):
    leader, other = joined(), joined()
    begun, waiting = leader.post({}), leader.post({})
    assert other.take() == (begun, {})
    assert leader.take({begun}) is None
    assert leader.take({waiting}) == (waiting, {})


def test_what_goes_on_with_another_waits_for_it(joined):
    leader, other = joined(), joined()
    first = leader.post({"what": 1})
    second = leader.post({"what": 2}, after=first)
    assert other.take() == (first, {"what": 1})
    assert other.take() is None
    other.finish(first, {})
    assert other.take() == (second, {"what": 2})


def test_what_goes_on_with_nothing_ends(joined):
    leader, other = joined(), joined()
    first = leader.post({})
    second = leader.post({}, after=first)
    other.take()
    other.give_up(first)
    assert other.take() is None
    assert leader.ended(second)
    assert leader.found(second) is None


def test_what_is_dropped_is_not_wanted(joined):
    leader, other = joined(), joined()
    begun, waiting = leader.post({}), leader.post({})
    other.take()
    assert other.wanted(begun)
    for number in (begun, waiting):
        leader.drop(number)
    assert leader.ended(waiting)
    assert not other.wanted(begun)
    assert not leader.ended(begun)  # who has begun it must hear of it first
    other.give_up(begun)
    other.finish(begun, {"too": "late"})
    leader.drop(begun)
    assert leader.found(begun) is None


KILLED = """
import os, sys
from pathlib import Path
from heedful.sharing.crew import Crew
from heedful.sharing.jobs import Jobs
crew = Crew(Path(sys.argv[1]))
with crew.joining():
    jobs = Jobs(Path(sys.argv[1]), crew, "one", sys.argv[2] or None)
assert jobs.take() and jobs.take()
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_command_has_begun_is_done_by_another(joined, where):
    leader, other = joined(), joined()
    first, second = leader.post({"what": 1}), leader.post({"what": 2})
    words = [sys.executable, "-c", KILLED, str(where[0]), where[1] or ""]
    assert subprocess.run(words, check=False).returncode == -9
    leader.drop(second)
    new = joined()  # by now its number could be that of the killed one
    assert new.take() == (first, {"what": 1})
    assert other.take() is None
    assert leader.ended(second)
