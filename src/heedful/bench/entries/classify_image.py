"""Which digit is it? Convolutions with each attention and with none, patches, and kernels."""

from types import SimpleNamespace
from typing import Any

from heedful.bench.baselines import logistic_regression, most_frequent, sklearn
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.tasks.base import Task


def pixels(task: Task[Any, Any], examples: Any) -> Any:
    """Return all pixels of each image, from 0 to 1."""
    found = task.encode(examples)
    return found.pixels.reshape(len(found), -1) / 255  # type: ignore[attr-defined]


def support_vectors(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with a support vector machine on pixels, its strength chosen on the dev split."""
    train, dev, test = (pixels(task, part) for part in (splits.train, splits.dev, splits.test))
    labels, right = ([each.label for each in part] for part in (splits.train, splits.dev))
    learn = sklearn("svm").SVC
    models = [learn(C=strength).fit(train, labels) for strength in (1.0, 3.0, 10.0)]
    best = max(models, key=lambda model: model.score(dev, right))
    return [SimpleNamespace(label=label) for label in best.predict(test).tolist()]


ENTRY = Entry(
    metric="accuracy",
    models={
        "CNN + self-attention": {},
        "CNN + CBAM": {"model": {"attention": "cbam"}},
        "CNN + squeeze-and-excitation": {"model": {"attention": "se"}},
        "CNN, no attention": {"model": {"attention": "none"}},
        "vision Transformer": {"model": {"name": "vit"}},
    },
    baselines={
        "most frequent label": most_frequent,
        "logistic regression on pixels": logistic_regression(pixels, scaled=False),
        "support vector machine on pixels": support_vectors,
    },
    data="digits of scikit-learn",
    budget="accuracy 2",
)
