"""What every metric keeps: neither order nor how often all are there matters, and it has ends."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import heedful.metrics
from heedful.metrics import (
    accuracy,
    area_under_curve,
    average_precision,
    bleu,
    box_recall,
    character_error_rate,
    chrf,
    estimate,
    exact_match,
    frechet_distance,
    macro_f1,
    mean_absolute_error,
    mean_average_precision,
    mean_dice,
    mean_iou,
    mean_squared_error,
    ndcg_at,
    recall_at,
    rouge,
    rouge_l,
    row_accuracy,
    row_loss,
    word_error_rate,
)

WRITTEN = ["a cat sat on the mat", "dogs bark", "we go", "yes", "two red birds sing here"]
TRUE = ["the cat sat on the mat", "dogs bark", "they go home", "no", "two red birds sing"]
RANDOM = np.random.default_rng(6)
CLOUD = RANDOM.normal(0, 1, (5, 2))
MASKS = RANDOM.integers(0, 2, (5, 3, 3))
ROWS = SimpleNamespace(
    outputs=torch.tensor([[2.0, 1], [0, 1], [3, 1], [1, 4], [2, 0]]),
    truth=torch.tensor([0, 1, 1, 1, 0]),
    example=torch.arange(5),
    kind="logits",
)


def wrapped(**columns):
    ((name, values),) = columns.items()
    return [SimpleNamespace(**{name: value}) for value in values]


def boxed(label, x, score=0.7):
    return SimpleNamespace(label=label, x=x, y=1, width=4, height=3, score=score)


TEXTS, LABELS = wrapped(target=TRUE), wrapped(label=[1, 0, 1, 1, 0])
NUMBERS, FOUND = wrapped(target=[1.0, 2, 4, 3, 0]), wrapped(relevant=["a", "b", "cd", "a", "d"])
TRUE_BOXES = [[boxed("a", 0)], [boxed("b", 2), boxed("a", 9)], [], [boxed("b", 3)], [boxed("a", 5)]]
BOXES = [
    [boxed("a", 1), boxed("a", 0, 0.8)],
    [boxed("a", 9, 0.3)],
    [boxed("b", 0, 0.5)],
    [boxed("b", 6, 0.6), boxed("b", 3, 0.2)],
    [boxed("a", 6, 0.8)],
]
RANKED = ["abc", "cba", "dab", "bca", "bda"]
CASES = {
    "accuracy": (accuracy(), [1, 1, 0, 1, 0], LABELS),
    "macro_f1": (macro_f1(), [1, 1, 0, 1, 0], LABELS),
    "bleu": (bleu(), WRITTEN, TEXTS),
    "chrf": (chrf(), WRITTEN, TEXTS),
    "exact_match": (exact_match(), WRITTEN, TEXTS),
    "character_error_rate": (character_error_rate(), WRITTEN, TEXTS),
    "word_error_rate": (word_error_rate(), WRITTEN, TEXTS),
    "mean_absolute_error": (mean_absolute_error(), [1.5, 2, 3, 5, 1], NUMBERS),
    "mean_squared_error": (mean_squared_error(), [1.5, 2, 3, 5, 1], NUMBERS),
    "mean_iou": (mean_iou(), MASKS[::-1], wrapped(mask=MASKS)),
    "mean_dice": (mean_dice(), MASKS[::-1], wrapped(mask=MASKS)),
    "frechet_distance": (
        frechet_distance(),
        wrapped(features=CLOUD + np.array([1, 2])),
        wrapped(features=2 * CLOUD[::-1]),
    ),
    "area_under_curve": (area_under_curve(), [0.7, 0.6, 0.5, 0.9, 0.5], LABELS),
    "mean_average_precision": (
        mean_average_precision(truth=lambda example: example.label),
        [0.7, 0.6, 0.5, 0.9, 0.5],
        LABELS,
    ),
    "average_precision": (average_precision(), BOXES, wrapped(boxes=TRUE_BOXES)),
    "box_recall": (box_recall(), BOXES, wrapped(boxes=TRUE_BOXES)),
    "ndcg_at": (ndcg_at(2), RANKED, FOUND),
    "recall_at": (recall_at(2), RANKED, FOUND),
    "rouge": (rouge(2), WRITTEN, TEXTS),
    "rouge_l": (rouge_l(), WRITTEN, TEXTS),
    "row_accuracy": (row_accuracy(), ROWS, range(5)),
    "row_loss": (row_loss(), ROWS, range(5)),
}
NOT_METRICS = {
    *("Estimate", "Metric", "SumMetric", "WeightedMetric", "estimate", "estimates"),
    *("mean_metric", "per_example", "ratio_metric", "text_metric"),
}
EVERY = pytest.mark.parametrize("name", CASES)


def made(name):
    metric, answers, examples = CASES[name]
    return metric, metric.statistics(answers, examples)


def test_no_metric_is_left_out():
    assert set(CASES) == set(heedful.metrics.__all__) - NOT_METRICS


@EVERY
def test_order_does_not_matter(name):
    metric, statistics = made(name)
    score = metric.score(statistics)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5)
        assert metric.score(statistics[order]) == pytest.approx(score, rel=1e-12)


@EVERY
def test_only_shares_of_the_weight_matter(name):
    metric, statistics = made(name)
    weights = RANDOM.integers(1, 4, (6, 5)).astype(float)
    scores = metric.scores(statistics, weights=weights)
    assert metric.scores(statistics, weights=3 * weights) == pytest.approx(scores, rel=1e-9)
    repeated = [metric.score(np.repeat(statistics, row.astype(int), 0)) for row in weights]
    assert scores == pytest.approx(repeated, rel=1e-9)
    assert metric.scores(statistics, weights=np.ones((1, 5))) == pytest.approx(
        [metric.score(statistics)], rel=1e-12
    )


@EVERY
def test_the_score_lies_within_its_ends_and_its_interval(name):
    metric, statistics = made(name)
    found = estimate(metric, statistics, count=200)
    assert found.low <= found.score <= found.high
    if metric.span is not None:
        assert metric.floor == 0
        assert 0 <= found.low < found.high <= metric.span + 1e-9
    else:
        assert 0 <= found.score
    assert found.score not in (0, 100), "the case must be between the ends"


@EVERY
def test_leaving_an_example_out_is_a_weight_of_0(name):
    metric, statistics = made(name)
    rest = metric.without(statistics, rows=np.array([3, 1]))
    weights = np.ones((2, 5))
    weights[[0, 1], [3, 1]] = 0
    assert rest == pytest.approx(metric.scores(statistics, weights=weights), rel=1e-9)
