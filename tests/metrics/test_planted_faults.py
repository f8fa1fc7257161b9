"""Faults planted in metrics. Each one is seen."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import sacrebleu

from heedful.errors import HeedfulError
from heedful.metrics import classification, interval, metric, texts

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
    refused(lambda: module.estimates([(share, few), (share, few[1:])]))


def classification_holds(module):
    """What F1 is."""
    examples = [SimpleNamespace(label=label) for label in "aabb"]
    f1, right = module.macro_f1(), module.accuracy()
    assert f1.score(f1.statistics(list("abbc"), examples)) == pytest.approx(100 * (2 / 3 + 0.5) / 2)
    assert right.score(right.statistics(list("abbb"), examples)) == 75
    drawn = f1.scores(f1.statistics(list("abbc"), examples), weights=np.array([[0, 0, 1.0, 0]]))
    assert drawn.tolist() == [100]


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
    (interval, "if len(counts) > 1:", "if False:"),
    (classification, "np.where(there, said + true, 1)", "np.where(there, 2 * true, 1)"),
    (classification, "2 * right / np.where", "right / np.where"),
    (classification, "bool(a == b)", "bool(a != b)"),
]
HOLDS = {
    metric: metric_holds,
    texts: texts_hold,
    interval: interval_holds,
    classification: classification_holds,
}


@pytest.mark.parametrize("module, right, wrong", FAULTS, ids=[right for _, right, _ in FAULTS])
def test_a_planted_fault_is_seen(planted_module, module, right, wrong):
    with pytest.raises((AssertionError, HeedfulError, ValueError, pytest.fail.Exception)):
        HOLDS[module](planted_module(module, right, wrong))


@pytest.mark.parametrize("module", HOLDS)
def test_without_a_fault_all_holds(planted_module, module):
    HOLDS[module](planted_module(module))
    HOLDS[module](importlib.import_module(module.__name__))
