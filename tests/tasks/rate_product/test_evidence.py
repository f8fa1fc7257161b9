"""Pieces of reviews with their weights: where they stand, and which of them are evidence."""

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.rate_product.evidence import attention_on_evidence, weighted_pieces
from heedful.tasks.rate_product.products import Product
from heedful.tasks.rate_product.task import RateProduct, Rating
from heedful.training.start import build

EXAMPLES = [
    Product(("So good, yes.", "no"), "5", 5.0, evidence=((0, 3, 7), (1, 0, 2))),
    Product(("bad",), "1", 1.0, evidence=((0, 0, 3),)),
]


def made(**tables):
    task = RateProduct.fit(parse_config({"task": "rate-product", **tables}), EXAMPLES)
    return task, build(task).eval()


def test_pieces_are_the_reviews_and_evidence_is_found_among_them():
    task, model = made()
    first, second = weighted_pieces(task, model, EXAMPLES)
    assert [piece.text for piece in first] == ["so", " good", ",", " yes", ".", "no"]
    assert [(p.review, p.start, p.end) for p in first[1:3]] == [(0, 2, 7), (0, 7, 8)]
    assert sum(piece.weight for piece in first) < 1  # markers have the rest
    shares = [
        (first[1].weight + first[5].weight) / sum(piece.weight for piece in first),
        second[0].weight / second[0].weight,
    ]
    found = attention_on_evidence(task, model, EXAMPLES)
    assert found == pytest.approx((sum(shares) / 2, (2 / 6 + 1) / 2))


def test_what_was_cut_off_has_no_weight():
    task, model = made(tokens={"max_length": 4, "max_reviews": 1})
    first, _ = weighted_pieces(task, model, EXAMPLES)
    assert [piece.text for piece in first] == ["so", " good"]


def test_without_attention_nothing_is_looked_at():
    task, model = made(model={"attention": False})
    assert attention_on_evidence(task, model, EXAMPLES) is None
    assert task.picture(model, EXAMPLES[0], Rating("5", 5.0, {"5": 1.0})) is None
