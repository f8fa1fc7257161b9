import re

import pytest

from heedful.errors import ConfigError
from heedful.tuning.goal import METRICS, Goal, Keep, goal_from_json, parse_keep


@pytest.mark.parametrize(
    "text, metric, limit",
    [
        ("chrf >= 95", "chrf", 95.0),
        ("  exact_match>=0.5 ", "exact_match", 0.5),
        ("bleu >=1e1", "bleu", 10.0),
        ("token_accuracy >= 100", "token_accuracy", 100.0),
        ("dev_loss <= 250.5", "dev_loss", 250.5),
    ],
)
def test_reads_what_it_writes(text, metric, limit):
    keep = parse_keep(text)
    assert keep == Keep(metric=metric, limit=limit)
    assert parse_keep(str(keep)) == keep


@pytest.mark.parametrize(
    "text, message",
    [
        ("chrf 95", "keep must look like 'chrf >= 95' or 'dev_loss <= 0.4', got 'chrf 95'"),
        ("chrf > 95", "keep must look like 'chrf >= 95' or 'dev_loss <= 0.4', got 'chrf > 95'"),
        ("chrf >= 95 %", "keep must look like"),
        ("chrf >= much", "keep must have a number behind >=, got 'much'"),
        ("chrf >= nan", "limit must be a finite number, got nan"),
        ("chrf >= -1", "limit must be at least 0, got -1"),
        ("bleu >= 101", "limit must be at most 100 per cent, got 101"),
        ("chrf <= 9", "keep must be 'chrf >= 9', because higher is better, got 'chrf <= 9'"),
        ("dev_loss >= 2", "keep must be 'dev_loss <= 2', because lower is better, got 'dev_loss"),
        ("chfr >= 9", 'metric must be one of "chrf", '),
    ],
)
def test_rejects(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_keep(text)


@pytest.mark.parametrize("metric", METRICS)
def test_the_limit_itself_is_kept_and_worse_is_not(metric):
    keep = Keep(metric=metric, limit=3.0)
    worse = 2.5 if keep.higher_is_better else 3.5
    better = 6.0 - worse
    assert keep.missed_by(3.0) == 0
    assert keep.missed_by(worse) == 0.5
    assert keep.missed_by(better) == -0.5


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"cost": "mac"}, 'cost must be one of "macs", "latency", "parameters", got "mac"'),
        ({"length": 0}, "length must be at least 1, got 0"),
    ],
)
def test_a_goal_is_checked(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Goal(keep=parse_keep("chrf >= 9"), **settings)


def test_a_goal_comes_back_from_json():
    goal = Goal(keep=parse_keep("dev_loss <= 0.25"), cost="latency", length=17)
    assert goal_from_json(goal.to_json()) == goal
    assert goal.unit == "ms a phrase"
