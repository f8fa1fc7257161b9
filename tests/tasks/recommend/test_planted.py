"""Planted users: what comes next has a cause that is known."""

import numpy as np

from heedful.tasks.recommend.config import PlantedData
from heedful.tasks.recommend.planted import follows, planted_users, series_of

DATA = PlantedData(users=200, series=20, episodes=9, followed=3, length=12, leaps=0.25)


def episode(item):
    return int(item.rpartition(" ")[2])


def test_users_follow_their_series_and_see_nothing_twice():
    users = planted_users(DATA, 1)
    assert len(users) == 200
    for items in users:
        assert len(set(items)) == len(items) <= 12
        assert len({series_of(item) for item in items}) <= 3
        assert {episode(item) for item in items} <= set(range(1, 10))


def test_mostly_an_episode_follows_the_one_before():
    steps = []
    for items in planted_users(DATA, 2):
        for place in range(1, len(items)):
            before = follows(items[:place], items[place])
            if before >= 0:
                steps.append(episode(items[place]) - episode(items[before]) == 1)
    assert 0.6 < np.mean(steps) < 0.85  # a leap may land there too, and must where a series ends


def test_the_seed_decides_all_of_it():
    assert planted_users(DATA, 1) == planted_users(DATA, 1)
    assert planted_users(DATA, 1) != planted_users(DATA, 2)


def test_an_episode_follows_the_latest_of_its_series():
    items = ("jazz 1", "series 17 4", "jazz 9", "space 2")
    assert follows(items, "jazz 3") == 2
    assert follows(items, "series 17 5") == 1
    assert follows(items, "garden 1") == -1
