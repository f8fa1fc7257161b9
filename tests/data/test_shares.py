"""What is held out depends on content and seed alone."""

from types import SimpleNamespace

from heedful.data.shares import divide


def things(numbers):
    return [SimpleNamespace(name=place, hash=f"{n}") for place, n in enumerate(numbers)]


def held(examples, seed=1, shares=(0.1, 0.3)):
    found = divide(examples, lambda each: each.hash, shares, seed=seed)
    return [{each.hash for each in part} for part in (found.train, found.dev, found.test)]


def test_shares_are_about_those_asked_for():
    found = divide(things(range(4_000)), lambda each: each.hash, (0.1, 0.3), seed=1)
    assert 320 < len(found.dev) < 480
    assert 1_100 < len(found.test) < 1_300
    assert len(found.train) + len(found.dev) + len(found.test) == 4_000
    assert held(things(range(50)), shares=(0.2, 0.0))[2] == set()


def test_neither_order_nor_company_matters_and_doubles_stay_together():
    train, dev, test = held(things(range(500)))
    assert held(things([*range(499, -1, -1), *range(100)])) == [train, dev, test]
    assert not train & dev | train & test | dev & test
    assert held(things(range(250)))[1] == dev & {f"{n}" for n in range(250)}
    assert held(things(range(500)), seed=2)[1] != dev
