"""How much an example may lose that no test has seen."""

import math

import numpy as np
import pytest

from heedful.errors import DataError
from heedful.metrics.metric import SumMetric, mean_metric, per_example, ratio_metric
from heedful.optimizing.unseen import span_of, unseen_loss

QUALITY = mean_metric("quality")
ACCURACY = mean_metric("accuracy", span=1.0)
LOSS = ratio_metric("loss", higher_is_better=False)


def test_how_much_the_unseen_example_loses():
    def lost(differ, change=0.01):
        before = np.ones(500)
        after = before.copy()
        after[:differ] -= change
        return unseen_loss(per_example(before), per_example(after), metric=ACCURACY, span=1.0)

    assert lost(0) == 1.0
    assert lost(20) == pytest.approx(0.1)  # between 1 and 0.01
    assert lost(180) == pytest.approx(0.01**0.9)
    assert lost(5, change=3.0) == pytest.approx(3.0)  # the span is too small
    falling = [lost(differ) for differ in (0, 1, 2, 10, 100, 500)]
    assert falling == sorted(falling, reverse=True)
    # gains tell as much about how much may change
    assert lost(20, change=-0.01) == pytest.approx(0.1)


def test_a_tiny_change_of_one_does_not_count_as_many():
    before = np.ones(500)
    after = before - 1e-9
    after[:20] -= 0.5
    lost = unseen_loss(per_example(before), per_example(after), metric=ACCURACY, span=1.0)
    assert lost == pytest.approx(math.sqrt(0.5), rel=1e-6)


def test_what_differs_without_effect_tells_nothing():
    # sums alone count: more of both leaves the ratio as it is
    before, after = per_example(np.ones(40)), per_example(2 * np.ones(40), 2 * np.ones(40))
    assert unseen_loss(before, after, metric=ACCURACY, span=0.7) == 0.7


def test_the_span_is_that_of_the_metric_or_of_what_was_seen():
    before, after = per_example([3.0, 5.0, 9.0] * 10), per_example([3.0, 5.0, 1.0] * 10)
    assert span_of(before, after, metric=ACCURACY) == 1.0
    assert span_of(before, after, metric=QUALITY) == pytest.approx(8.0)
    # an example counts by itself, whatever its size
    sized = per_example([3.0, 20.0, 90.0] * 10, [1.0, 4.0, 10.0] * 10)
    assert span_of(sized, sized, metric=LOSS) == pytest.approx(6.0)
    alike = per_example(np.full(40, -2.5))
    assert span_of(alike, alike, metric=QUALITY) == pytest.approx(2.5)
    nothing = per_example(np.zeros(40))
    message = (
        "quality must differ between examples or its metric name a span, got 0 on all 40 examples"
    )
    with pytest.raises(DataError, match=message):
        span_of(nothing, nothing, metric=QUALITY)


def test_a_score_that_one_example_alone_has_not_needs_a_span():
    before = per_example(np.ones(40), np.full(40, 6.0))
    after = before.copy()
    after[7, 1] = 5
    metric = SumMetric(
        name="quality", combine=lambda sums: np.where(sums[:, 1] > 5, sums[:, 0], np.inf)
    )
    message = (
        "quality must be finite on each example alone or its metric name a span, "
        "got inf for example 7"
    )
    with pytest.raises(DataError, match=message):
        span_of(before, after, metric=metric)
