"""Baselines answer with what simple models know."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from heedful.bench.baselines import (
    logistic_regression,
    most_frequent,
    nearest_target,
    sklearn,
    tfidf,
)
from heedful.data.examples import Example, Splits
from heedful.errors import MissingExtraError

DRAW = np.random.default_rng(0)


def example(label):
    at = DRAW.normal(size=3) + (5 if label == "b" else 0)
    return SimpleNamespace(label=label, at=at, text="so bad" if label == "b" else "so good")


SPLITS = Splits(*([example(label) for label in "abbab" * 4] for _ in range(3)))


def labels(answers):
    return [each.label for each in answers]


def test_the_most_frequent_label_is_that_of_the_training_split():
    assert labels(most_frequent(None, SPLITS)) == ["b"] * 20


@pytest.mark.parametrize("scaled", [False, True])
def test_logistic_regression_learns_what_is_linear(scaled):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    answers = logistic_regression(lambda _, part: np.array([e.at for e in part]), scaled=scaled)
    assert labels(answers(None, SPLITS)) == labels(SPLITS.test)


def test_words_are_enough_where_they_tell():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    answers = tfidf(lambda each: each.text)
    assert labels(answers(None, SPLITS)) == labels(SPLITS.test)


def test_the_nearest_example_lends_its_target():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    train = [Example("one house", "一座房子"), Example("two trees", "两棵树")]
    asked = [Example(source, "") for source in ("three trees", "houses", "???")]
    answers = nearest_target(None, Splits(train=train, dev=[], test=asked))
    assert [each.text for each in answers] == ["两棵树", "一座房子", "一座房子"]


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(MissingExtraError, match=r"need the package scikit-learn, got none"):
        sklearn("svm")
