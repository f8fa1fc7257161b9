"""Metrics: what answers are worth, with intervals.

One metric serves the scores of the dev split, `heedful.evaluate`, the verdict of `heedful.optimize`
and the limit of `heedful.tune`. It makes statistics of answers, one row an example, and scores of
these: of all examples, and of examples that are drawn anew.
"""

from heedful.metrics.classification import accuracy, macro_f1
from heedful.metrics.detection import average_precision, box_recall
from heedful.metrics.frechet import frechet_distance
from heedful.metrics.interval import Estimate, estimate, estimates
from heedful.metrics.metric import (
    Metric,
    SumMetric,
    WeightedMetric,
    mean_metric,
    per_example,
    ratio_metric,
)
from heedful.metrics.overlap import mean_dice, mean_iou
from heedful.metrics.ranking import area_under_curve, mean_average_precision, ndcg_at, recall_at
from heedful.metrics.regression import mean_absolute_error, mean_squared_error
from heedful.metrics.rouge import rouge, rouge_l
from heedful.metrics.rows import row_accuracy, row_loss
from heedful.metrics.texts import (
    bleu,
    character_error_rate,
    chrf,
    exact_match,
    text_metric,
    word_error_rate,
)

__all__ = [
    "Estimate",
    "Metric",
    "SumMetric",
    "WeightedMetric",
    "accuracy",
    "area_under_curve",
    "average_precision",
    "bleu",
    "box_recall",
    "character_error_rate",
    "chrf",
    "estimate",
    "estimates",
    "exact_match",
    "frechet_distance",
    "macro_f1",
    "mean_absolute_error",
    "mean_average_precision",
    "mean_dice",
    "mean_iou",
    "mean_metric",
    "mean_squared_error",
    "ndcg_at",
    "per_example",
    "ratio_metric",
    "recall_at",
    "rouge",
    "rouge_l",
    "row_accuracy",
    "row_loss",
    "text_metric",
    "word_error_rate",
]
