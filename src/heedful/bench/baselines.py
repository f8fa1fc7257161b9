"""Answers that need no network: the most frequent label, the nearest example, linear models."""

from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from heedful.bench.entry import Baseline
from heedful.data.examples import Splits
from heedful.errors import MissingExtraError
from heedful.tasks.base import Task
from heedful.training.run import build

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # inverse strengths of regularisation


def most_frequent(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the label that the training split has most often."""
    label = Counter(example.label for example in splits.train).most_common(1)[0][0]
    return [SimpleNamespace(label=label)] * len(splits.test)


def untrained(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with a model that has learned nothing."""
    torch.manual_seed(task.config.seed)
    return task.answer(build(task).eval(), task.encode(splits.test))


def logistic_regression(
    features: Callable[[Task[Any, Any], Sequence[Any]], Any], *, scaled: bool = True
) -> Baseline:
    """Return a baseline: logistic regression, its regularisation chosen on the dev split.

    Args:
        features: Numbers of examples, `(examples, features)`, from the task and the examples.
        scaled: Is each feature brought to mean 0 and variance 1 first?
    """

    def answers(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
        train, dev, test = (
            features(task, part) for part in (splits.train, splits.dev, splits.test)
        )
        return classify(train, dev, test, splits, scaled=scaled)

    return answers


def tfidf(text: Callable[[Any], str], **settings: Any) -> Baseline:
    """Return a baseline: TF-IDF of n-grams and logistic regression.

    Args:
        text: Of an example.
        settings: Of scikit-learn's `TfidfVectorizer`.
    """

    def answers(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
        vectorizer = sklearn("feature_extraction.text").TfidfVectorizer(**settings)
        train = vectorizer.fit_transform([text(each) for each in splits.train])
        dev, test = (
            vectorizer.transform([text(each) for each in part])
            for part in (splits.dev, splits.test)
        )
        return classify(train, dev, test, splits, scaled=False)

    return answers


def nearest_target(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the target of the training example whose source is most like this one."""
    settings = {"analyzer": "char_wb", "ngram_range": (1, 4), "sublinear_tf": True}
    vectors = sklearn("feature_extraction.text").TfidfVectorizer(**settings)
    known = vectors.fit_transform([example.source for example in splits.train])
    asked = vectors.transform([example.source for example in splits.test])
    rows = np.asarray((asked @ known.T).argmax(1)).ravel().tolist()
    return [SimpleNamespace(text=splits.train[row].target) for row in rows]


def classify(train: Any, dev: Any, test: Any, splits: Splits[Any], *, scaled: bool) -> list[Any]:
    """Answer with logistic regression on features of the three splits."""
    if scaled:
        scaler = sklearn("preprocessing").StandardScaler().fit(train)
        train, dev, test = (scaler.transform(each) for each in (train, dev, test))
    learn = sklearn("linear_model").LogisticRegression
    labels, right = ([each.label for each in part] for part in (splits.train, splits.dev))
    models = [learn(C=strength, max_iter=1_000).fit(train, labels) for strength in STRENGTHS]
    best = max(models, key=lambda model: model.score(dev, right))
    return [SimpleNamespace(label=label) for label in best.predict(test).tolist()]


def sklearn(module: str) -> Any:
    """Return a module of scikit-learn.

    Raises:
        MissingExtraError: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError:
        raise MissingExtraError(
            "classical baselines need the package scikit-learn, got none. "
            "Run: pip install 'heedful[images]'"
        ) from None
