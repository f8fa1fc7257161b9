"""The baselines of a recommendation, against loops over users and items."""

import numpy as np
import pytest

from heedful.bench.entries.recommend import ENTRY, closed_form, item_neighbours, most_popular
from heedful.data.examples import Splits
from heedful.tasks.catalog import parse_config
from heedful.tasks.recommend.histories import History, last_items
from heedful.tasks.recommend.task import Recommend

DRAW = np.random.default_rng(0)
USERS = [[f"i{item}" for item in DRAW.permutation(15)[:9]] for _ in range(40)]
SPLITS = last_items(USERS)


@pytest.fixture(scope="module")
def task():
    return Recommend.fit(parse_config({"task": "recommend"}), SPLITS.train)


def had(example):
    return {*example.items, *example.relevant}


def best(scores, example):
    free = sorted(name for name in scores if name not in example.items)
    return tuple(sorted(free, key=lambda name: -scores[name])[:10])


def test_the_most_popular_items_come_first(task):
    counts = {name: sum(name in had(each) for each in SPLITS.train) for name in task.names}
    for example, answer in zip(SPLITS.test, most_popular(task, SPLITS), strict=True):
        assert [counts[item] for item in answer.items] == [
            counts[item] for item in best(counts, example)
        ]


def test_neighbours_are_items_of_the_same_users(task):
    users = {
        name: {row for row, each in enumerate(SPLITS.train) if name in had(each)}
        for name in task.names
    }

    def cosine(one, other):
        together = len(users[one] & users[other])
        return together / np.sqrt(len(users[one]) * len(users[other]))

    example, answer = SPLITS.test[0], item_neighbours(task, SPLITS)[0]
    scores = {
        name: sum(cosine(name, item) for item in example.items if item in users)
        for name in task.names
    }
    values = [scores[item] for item in best(scores, example)]
    assert [scores[item] for item in answer.items] == pytest.approx(values)


def test_the_closed_form_finds_pairs_that_belong_together(task):
    rows = [[f"a{n}", f"b{n}", f"c{n}"] for n in range(6) for _ in range(9)]
    train = [History(tuple(row[:2]), (row[2],)) for row in rows]
    held = [History((f"a{n}", f"b{n}"), (f"c{n}",)) for n in range(6)]
    splits = Splits(train, held, held)
    answers = closed_form(Recommend.fit(task.config, train), splits)
    assert [answer.items[0] for answer in answers] == [f"c{n}" for n in range(6)]


def test_new_users_are_none_of_the_training():
    config = parse_config({"task": "recommend", "data": {"users": 30, "length": 8}})
    assert ENTRY.shift is not None
    found = ENTRY.shift[1](config)
    train = {each.items[:4] for each in Recommend.read(config).train}
    assert len(found) > 900
    assert not [each for each in found if each.items[:4] in train]
