"""Products: grouped from tables, rated by the mean of their rows, padded review by review."""

import re
from pathlib import Path

import numpy as np
import pytest

from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ragged
from heedful.errors import DataError, DataWarning
from heedful.tasks.catalog import parse_config
from heedful.tasks.rate_product.config import PhoneData, TableData
from heedful.tasks.rate_product.products import Product, Products, label_of, read_splits, read_table
from heedful.tasks.rate_product.task import RateProduct

SINGLE = TableData(train="", dev="")
GROUPED = TableData(train="", dev="", rating="score", product="product")


def test_the_built_in_products_know_what_counts():
    splits = read_splits(PhoneData(examples=30, dev=4, test=6), 3)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [20, 4, 6]
    for product in splits.train:
        assert product.label == str(int(product.score + 0.5))
        assert product.evidence


def test_one_review_a_row_is_read_sentence_by_sentence(tmp_path):
    (tmp_path / "a.csv").write_text('label,review\n1,"Good, really. Buy it!"\n 0 ,bad\n')
    assert read_table(SINGLE, tmp_path / "a.csv") == [
        Product(("Good, really. ", "Buy it!"), "1", 1.0),
        Product(("bad",), "0", 0.0),
    ]


def test_rows_of_a_product_are_its_reviews(tmp_path):
    (tmp_path / "a.csv").write_text("product,score,review\nx,4,One. Two.\ny,1,c\nx,5,d\n")
    assert read_table(GROUPED, tmp_path / "a.csv") == [
        Product(("One. Two.", "d"), "5", 4.5, "x"),
        Product(("c",), "1", 1.0, "y"),
    ]


def test_words_are_ranked(tmp_path):
    (tmp_path / "a.tsv").write_text("x\tbad\na b\tgood\n")
    data = TableData(train="", dev="", review="1", rating="2", ranks=("bad", "good"))
    found = read_table(data, tmp_path / "a.tsv")
    assert [(each.label, each.score) for each in found] == [("bad", 0.0), ("good", 1.0)]


def test_a_class_is_a_step_wide():
    halves = TableData(train="", dev="", step=0.5)
    assert [label_of(halves, score) for score in (0.2, 0.25, 0.75, -0.3)] == [
        "0",
        "0.5",
        "1",
        "-0.5",
    ]
    assert [label_of(SINGLE, score) for score in (3.5, 3.49)] == ["4", "3"]


@pytest.mark.parametrize(
    "text, data, message",
    [
        ("label,review\n1,a\ngood,b\n", SINGLE, ":3 must have a number as its rating, got 'good'"),
        ("label,review\nnan,b\n", SINGLE, ":2 must have a rating between -1e6 and 1e6, got nan"),
        ("label,review\n1,\n", SINGLE, ":2 must have a text in column 'review', got ''"),
        ("product,score\nx,1\n", GROUPED, ":1 must have one column 'review', got product, score"),
        (
            "label,review\nfair,b\n",
            TableData(train="", dev="", ranks=("bad", "good")),
            ":2 must have a rating of bad, good, got 'fair'",
        ),
    ],
)
def test_bad_rows_are_refused_with_their_line(tmp_path, text, data, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(f"a.csv{message}")):
        read_table(data, tmp_path / "a.csv")


def test_a_class_that_training_has_not_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("label,review\n1,a\n0,b\n")
    (tmp_path / "b.csv").write_text("label,review\n1,c\n2,d\n")
    paths = {"train": str(tmp_path / "a.csv"), "dev": str(tmp_path / "b.csv")}
    with pytest.raises(
        DataError, match=r"b.csv:3 must be of a class of the training split, got '2'"
    ):
        read_splits(TableData(**paths), 1)
    config = parse_config({"task": "rate-product", "data": {"name": "table", **paths}})
    assert RateProduct.read_training(config) == RateProduct.read_file(config, tmp_path / "a.csv")


def test_a_product_of_two_splits_is_said_whatever_its_reviews(tmp_path):
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("train", "dev", "test")}
    for path, names in zip(paths.values(), ("ab", "cd", "ade"), strict=True):
        lines = [f"{name},{number % 2},{path} {name}\n" for number, name in enumerate(names)]
        Path(path).write_text("product,label,review\n" + "".join(lines), encoding="utf-8")
    with pytest.warns(DataWarning, match=r"test\.csv: products .* has too: 2 of 3$") as said:
        splits = read_splits(TableData(**paths, product="product"), 1)
    assert (len(said), len(splits.test)) == (1, 3)


def test_batches_hold_the_reviews_of_each_product():
    reviews = Ragged.pack([[1, 5, 6, 2], [1, 2], [1, 6, 5, 6, 7, 2]])
    ngrams = Ngrams.fit(reviews, size=9, longest=3, min_count=1)
    scores = np.array([4.0, np.nan], np.float32)
    data = Products(reviews, np.array([2, 1]), ngrams, np.array([3, -100]), scores, longest=5)
    assert (data.cut, data.sizes.tolist(), data.amounts.tolist()) == (1, [[8], [8]], [1, 1])
    batch = data.batch([1, 0], "cpu")
    assert batch.tokens[:, :5].tolist() == [[1, 6, 5, 6, 2], [1, 5, 6, 2, 0], [1, 2, 0, 0, 0]]
    assert batch.lengths.tolist() == [5, 4, 2]
    assert batch.counts.tolist() == [1, 2]
    assert batch.labels.tolist() == [-100, 3]
    assert batch.ngrams[1, :4].tolist() == data.ngrams[:4].tolist()
    assert not batch.ngrams[1, 4:].any()
    for changed in (np.array([5.0, np.nan], np.float32), np.array([4.0, 1], np.float32)):
        other = Products(reviews, np.array([2, 1]), ngrams, data.labels, changed, longest=5)
        assert other.fingerprint() != data.fingerprint()
    assert len(data.batch([0], "cpu").tokens) == 2
