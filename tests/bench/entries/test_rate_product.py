"""The baselines of ratings learn, and products from elsewhere have more reviews than any before."""

from types import SimpleNamespace

from heedful.bench.entries.rate_product import ENTRY, MANY
from heedful.data.examples import Splits
from heedful.tasks.catalog import parse_config
from heedful.tasks.rate_product.config import PhoneData
from heedful.tasks.rate_product.products import read_splits


def test_the_classical_baseline_is_better_than_the_trivial_one():
    splits = read_splits(PhoneData(examples=400, dev=30, test=60), 1)
    splits = Splits(splits.train[:200], splits.dev, splits.test)
    trivial, classical = (
        sum(a.label == e.label for a, e in zip(answers(None, splits), splits.test, strict=True))
        for answers in ENTRY.baselines.values()
    )
    assert classical > 1.3 * trivial


def test_the_shift_has_more_reviews():
    name, make = ENTRY.shift
    assert name == "12 to 20 reviews"
    table = {"name": "table", "train": "a.csv", "dev": "b.csv"}
    for config in (
        parse_config({"task": "rate-product", "data": {"languages": ["en"]}}),
        SimpleNamespace(data=parse_config({"task": "rate-product", "data": table}).data, seed=1),
    ):
        found = make(config)
        assert {len(each.reviews) for each in found} <= {*range(MANY[0], MANY[1] + 1)}
        assert len(found) == 500
