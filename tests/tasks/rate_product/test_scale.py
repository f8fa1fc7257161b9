"""Classes in the order of what they are worth, kept by a run, and the score expected of shares."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import DataError, RunError
from heedful.tasks.rate_product.products import Product
from heedful.tasks.rate_product.scale import Scale

SCALE = Scale({"bad": 1.0, "fair": 2.5, "good": 4.0}, 1.5)


def test_classes_are_worth_the_mean_of_their_ratings():
    ratings = [("5", 5.0), ("1", 1.2), ("5", 4.6), ("1", 0.8)]
    scale = Scale.fit([Product(("a",), label, score) for label, score in ratings])
    assert list(scale.values.items()) == [("1", 1.0), ("5", pytest.approx(4.8))]
    assert scale.variance == pytest.approx(np.var([score for _, score in ratings]))


def test_the_expected_score_weighs_classes_by_their_shares():
    logits = torch.tensor([[0.1, 0.7, -0.4], [3.0, -2.0, 0.0]])
    shares = torch.softmax(logits, -1)
    wanted = (shares * torch.tensor([1.0, 2.5, 4.0])).sum(1)
    torch.testing.assert_close(SCALE.expected(logits), wanted)
    named = dict(zip(SCALE.values, shares[1].tolist(), strict=True))
    assert SCALE.score(named) == pytest.approx(wanted[1].item())


def test_classes_have_numbers_and_strange_ones_are_refused():
    found = SCALE.numbers([Product(("a",), "good"), Product(("a",)), Product(("a",), "bad")])
    assert found.tolist() == [2, -100, 0]
    with pytest.raises(DataError, match="a class must be one of bad, fair, good, got 'superb'"):
        SCALE.numbers([Product(("a",), "superb", 1.0)])


def test_training_needs_two_classes():
    with pytest.raises(DataError, match=re.escape("two classes or more, got ['3']")):
        Scale.fit([Product(("a",), "3", 3.0), Product(("b",), "3", 2.9)])


@pytest.mark.parametrize(
    "text",
    [
        '{"values": {"a": 1.0}, "variance": 1.0}',
        '{"values": {"a": 1.0, "b": 2.0}, "variance": 0.0}',
        '{"values": {"a": 1.0, "b": NaN}, "variance": 1.0}',
        "[]",
    ],
)
def test_a_scale_that_is_none_is_refused(tmp_path, text):
    SCALE.save(tmp_path / "scale.json")
    assert Scale.load(tmp_path / "scale.json") == SCALE
    (tmp_path / "scale.json").write_text(text)
    with pytest.raises(RunError, match=r"scale.json must (be whole|have what two classes)"):
        Scale.load(tmp_path / "scale.json")
