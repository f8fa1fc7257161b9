"""Faults planted in metrics. Each one is seen."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import sacrebleu
import torch

from heedful.errors import HeedfulError
from heedful.metrics import (
    classification,
    frechet,
    interval,
    metric,
    overlap,
    ranking,
    regression,
    rows,
    texts,
)

HYPOTHESES = ["a dog runs in the park", "the cat is here", "no", "two red birds sing"] * 8
REFERENCES = ["a dog ran in a park", "the cat is here", "yes", "two red birds sang"] * 8


def metric_holds(module):
    """What means and ratios are, whole, redrawn and without one example."""
    ratio = module.ratio_metric("loss", higher_is_better=False)
    rows = module.per_example([6.0, 2.0], [3.0, 1.0])
    assert ratio.score(rows) == 2
    mean = module.mean_metric("m")
    values = module.per_example([1.0, 4.0, 7.0])
    assert mean.influence(values) == pytest.approx([1, 4, 7])
    weighted = module.WeightedMetric(
        name="w", combine=lambda rows, weights: weights @ rows[:, 0] / weights.sum(1)
    )
    assert weighted.score(values) == 4
    assert weighted.influence(values, rows=np.array([2, 1])) == pytest.approx([7, 4])
    refused(lambda: module.per_example([1.0, float("nan")]))
    refused(lambda: module.SumMetric(name="s", share=True))
    refused(lambda: mean.statistics([1], [1]))


def texts_hold(module):
    """Say what sacrebleu says, whole and redrawn, and what edits are."""
    for name, score in (("chrf", sacrebleu.corpus_chrf), ("bleu", sacrebleu.corpus_bleu)):
        of, read = module.text_metric(name, REFERENCES)
        rows = read(HYPOTHESES)
        want = score(HYPOTHESES, [REFERENCES]).score
        assert of.score(rows) == pytest.approx(want, rel=1e-9)
        drawn = [0, 0, 1, 3, 3, 3]
        both = ([HYPOTHESES[row] for row in drawn], [[REFERENCES[row] for row in drawn]])
        assert of.score(rows[drawn]) == pytest.approx(score(*both).score, rel=1e-9)
        assert of.higher_is_better
        assert of.span == 100
    of, read = module.text_metric("exact_match", REFERENCES)
    assert of.score(read(HYPOTHESES)) == 25
    assert module.edit_distance("kitten", "sitting") == 3
    rate = module.word_error_rate(truth=str)
    assert not rate.higher_is_better
    assert rate.score(rate.statistics(["a b", "c"], ["a d", "c e"])) == 50
    refused(lambda: read(HYPOTHESES[1:]))


def interval_holds(module):
    """Wilson's where few are wrong, the middle of the draws else."""
    share = metric.SumMetric(name="s", span=1.0, floor=0.0, share=True)
    low, high = module.estimate(share, metric.per_example(np.ones(40))).interval
    assert (low, high) == (pytest.approx(0.9124, abs=1e-4), 1)
    few = metric.per_example(np.arange(40.0) > 2)
    assert module.estimate(share, few).interval == pytest.approx((0.8014, 0.9742), abs=1e-4)
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = module.estimate(metric.mean_metric("m"), metric.per_example(values))
    assert found.interval == pytest.approx((values.mean() - 0.196, values.mean() + 0.196), abs=0.03)
    away = metric.SumMetric(name="d", combine=lambda s: (s[:, 0] / s[:, 1]) ** 2, distance=True)
    found = module.estimate(away, metric.per_example(values - values.mean()))
    assert found.low == 0 < found.high
    refused(lambda: module.estimates([(share, few), (share, few[1:])]))


def classification_holds(module):
    """What F1 is."""
    examples = [SimpleNamespace(label=label) for label in "aabb"]
    f1, right = module.macro_f1(), module.accuracy()
    assert f1.score(f1.statistics(list("abbc"), examples)) == pytest.approx(100 * (2 / 3 + 0.5) / 2)
    assert right.score(right.statistics(list("abbb"), examples)) == 75
    drawn = f1.scores(f1.statistics(list("abbc"), examples), weights=np.array([[0, 0, 1.0, 0]]))
    assert drawn.tolist() == [100]


def regression_holds(module):
    """What errors are."""
    for of, want in ((module.mean_squared_error(), 5), (module.mean_absolute_error(), 2)):
        assert of.score(of.statistics([1.0, [2.0]], wrapped(target=[2.0, [5.0]]))) == want
        assert not of.higher_is_better
        refused(lambda of=of: of.statistics([[1.0, 2]], wrapped(target=[[1.0]])))


def overlap_holds(module):
    """What overlaps are."""
    for of, want in ((module.mean_iou(), 50 * (1 / 2 + 2 / 3)), (module.mean_dice(), 220 / 3)):
        found = of.score(of.statistics([[0, 1, 1, 1]], wrapped(mask=[[0, 0, 1, 1]])))
        assert found == pytest.approx(want)
    of = module.mean_iou(ignore=0)
    assert of.score(of.statistics([[0, 1, 1, 2]], wrapped(mask=[[0, 0, 1, 2]]))) == 100


def frechet_holds(module):
    """One feature has a closed form, and what does not vary together a sum of them."""
    made, real = np.array([[1.0], [3], [5], [1]]), np.array([[2.0], [0], [1], [7]])
    of = module.frechet_distance()
    found = of.score(of.statistics(wrapped(features=made), wrapped(features=real)))
    assert found == pytest.approx((made.std() - real.std()) ** 2)
    one = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    found = of.score(of.statistics(wrapped(features=3 * one), wrapped(features=one + 1)))
    assert found == pytest.approx(2 + 2 * 4)
    turned = one @ np.array([[3.0, 1], [1, 3]])  # its covariance has the roots 4 and 2
    found = of.score(of.statistics(wrapped(features=turned), wrapped(features=one)))
    assert found == pytest.approx(3**2 + 1)


def ranking_holds(module):
    """What is in order, and what is found first."""
    area, mean = module.area_under_curve(), module.mean_average_precision()
    found = area.score(area.statistics([3, 2, 2, 1], wrapped(label=[1, 0, 1, 0])))
    assert found == 100 * 3.5 / 4
    found = mean.score(mean.statistics([3, 2, 2, 1], wrapped(labels=[0, 1, 1, 1])))
    assert found == pytest.approx(100 * (2 / 3 + 2 / 3 + 3 / 4) / 3)
    answers = wrapped(relevant=[{"b"}])
    for of, want in (
        (module.recall_at(1), 0),
        (module.recall_at(2), 100),
        (module.ndcg_at(1), 0),
        (module.ndcg_at(3), 100 / np.log2(3)),
    ):
        assert of.score(of.statistics(["abc"], answers)) == pytest.approx(want)


def rows_hold(module):
    """What rows lose, those apart whose truth nobody knows."""
    outputs = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    given = SimpleNamespace(
        outputs=outputs,
        truth=torch.tensor([0, 0, -100]),
        example=torch.tensor([1, 0, 1]),
        kind="logits",
    )
    found = module.row_loss().statistics(given, range(2))
    assert found[:, 1].tolist() == [1, 1]
    assert found[:, 0] == pytest.approx([np.log1p(np.exp(-5)), np.log(2)], rel=1e-5)
    assert module.row_accuracy().statistics(given, range(2)).tolist() == [[100, 1], [100, 1]]


def wrapped(**columns):
    ((name, values),) = columns.items()
    return [SimpleNamespace(**{name: value}) for value in values]


def refused(call):
    with pytest.raises(HeedfulError):
        call()


FAULTS = [
    (metric, "return sums[:, 0] / sums[:, 1]", "return sums[:, 0]"),
    (metric, "whole + (examples - 1) * (whole - rest)", "whole + examples * (whole - rest)"),
    (metric, "statistics.sum(0) - statistics[rows]", "statistics.sum(0) + statistics[rows]"),
    (metric, "weights[np.arange(len(part)), part] = 0", "weights[:, part] = 0"),
    (metric, "if not np.isfinite(column).all():", "if False:"),
    (metric, "if self.share and", "if False and"),
    (texts, "text == reference", "text != reference"),
    (texts, "if len(written) != len(wanted):", "if False:"),
    (texts, 'CHRF() if name == "chrf"', 'CHRF(word_order=2) if name == "chrf"'),
    (texts, "extract(texts, [references])", "extract(references, [texts])"),
    (texts, "(second != item)", "(second == item)"),
    (texts, "np.minimum.accumulate(better - place) + place", "better"),
    (interval, "few = metric.share and", "few = not metric.share and"),
    (interval, "if right < examples else 1.0", "if right > examples else 1.0"),
    (interval, "square**2 / 4", "square**2"),
    (interval, "(TAIL, 1 - TAIL)", "(0, 1)"),
    (interval, "if metric.distance:", "if not metric.distance:"),
    (interval, "if len(counts) > 1:", "if False:"),
    (classification, "np.where(there, said + true, 1)", "np.where(there, 2 * true, 1)"),
    (classification, "2 * right / np.where", "right / np.where"),
    (classification, "bool(a == b)", "bool(a != b)"),
    (regression, "error**power", "error"),
    (regression, "if said.shape != true.shape:", "if False:"),
    (overlap, "said + true - both", "said + true"),
    (overlap, "answer[answer == truth]", "answer[answer != truth]"),
    (overlap, "true != ignore", "true == true"),
    (frechet, "traces - 2 * common", "traces - common"),
    (frechet, "= square[:, columns, rows]", "= square[:, rows, rows]"),
    (frechet, "square - mean[:, :, None] * mean[:, None]", "square"),
    (ranking, "(below + wrong / 2)", "below"),
    (ranking, "side[:, ::-1].cumsum(1)[:, ::-1]", "side.cumsum(1)"),
    (ranking, "set(ranked[:k])", "set(ranked)"),
    (ranking, "np.arange(2, k + 2)", "np.arange(3, k + 3)"),
    (ranking, "prepend=np.nan) != 0", "prepend=np.nan) != 9"),
    (rows, "truth != UNKNOWN", "truth == truth"),
    (rows, "sums[:, column], example", "sums[:, column], example - example"),
    (rows, "part.argmax(-1) == right", "part.argmin(-1) == right"),
]
HOLDS = {
    metric: metric_holds,
    texts: texts_hold,
    interval: interval_holds,
    classification: classification_holds,
    regression: regression_holds,
    overlap: overlap_holds,
    frechet: frechet_holds,
    ranking: ranking_holds,
    rows: rows_hold,
}


@pytest.mark.parametrize("module, right, wrong", FAULTS, ids=[right for _, right, _ in FAULTS])
def test_a_planted_fault_is_seen(planted_module, module, right, wrong):
    with pytest.raises((AssertionError, HeedfulError, ValueError, pytest.fail.Exception)):
        HOLDS[module](planted_module(module, right, wrong))


@pytest.mark.parametrize("module", HOLDS)
def test_without_a_fault_all_holds(planted_module, module):
    HOLDS[module](planted_module(module))
    HOLDS[module](importlib.import_module(module.__name__))
