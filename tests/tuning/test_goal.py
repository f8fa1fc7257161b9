import re

import pytest

from heedful.errors import ConfigError
from heedful.tasks.base import Task
from heedful.tasks.generate_image.task import GenerateImage
from heedful.tasks.translation.task import Translation
from heedful.tuning.goal import Goal, Keep, check_keep, goal_from_json, parse_keep


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
    assert keep == Keep(metric=metric, limit=limit, higher_is_better=metric != "dev_loss")
    check_keep(keep, Translation)
    assert parse_keep(str(keep)) == keep


@pytest.mark.parametrize(
    "text, message",
    [
        ("chrf 95", "keep must look like 'chrf >= 95' or 'dev_loss <= 0.4', got 'chrf 95'"),
        ("chrf > 95", "keep must look like 'chrf >= 95' or 'dev_loss <= 0.4', got 'chrf > 95'"),
        ("chrf >= 95 %", "keep must look like"),
        ("chrf >= much", "keep must have a number behind >=, got 'much'"),
        ("chrf >= nan", "limit must be a finite number, got nan"),
    ],
)
def test_rejects(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_keep(text)


class Episodes(Translation):
    """Has a score of its own, no metric of that name, and no loss."""

    metrics = ()
    monitor = "return"
    loss = Task.loss


@pytest.mark.parametrize(
    "text, task, message",
    [
        ("chrf >= -1", Translation, "limit must be from 0 to 100 %, got -1"),
        ("bleu >= 101", Translation, "limit must be from 0 to 100 %, got 101"),
        ("chrf <= 9", Translation, "keep must be 'chrf >= 9', because higher is better, got 'chrf"),
        ("loss >= 2", Translation, "keep must be 'loss <= 2', because lower is better, got 'loss"),
        ("dev_loss >= 2", Translation, "keep must be 'dev_loss <= 2', because lower is better"),
        ("frechet >= 2", GenerateImage, "keep must be 'frechet <= 2', because lower is better"),
        ("chfr >= 9", Translation, 'metric must be one of "chrf", "exact_match", '),
        ("dev_loss <= 9", Episodes, 'metric must be "return", got "dev_loss"'),
        ("return >= 9", Episodes, "keep must be 'return <= 9', because lower is better"),
    ],
)
def test_a_task_says_what_there_is_and_which_way_round(text, task, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_keep(parse_keep(text), task)


@pytest.mark.parametrize(
    "text, task", [("frechet <= 2", GenerateImage), ("return <= -9", Episodes)]
)
def test_any_metric_and_the_score_that_chooses_checkpoints_can_be_kept(text, task):
    check_keep(parse_keep(text), task)


@pytest.mark.parametrize("higher", [True, False])
def test_the_limit_itself_is_kept_and_worse_is_not(higher):
    keep = Keep(metric="any", limit=3.0, higher_is_better=higher)
    worse = 2.5 if keep.higher_is_better else 3.5
    better = 6.0 - worse
    assert keep.missed_by(3.0) == 0
    assert keep.missed_by(worse) == 0.5
    assert keep.missed_by(better) == -0.5


def test_a_goal_is_checked():
    message = 'cost must be one of "macs", "latency", "parameters", got "mac"'
    with pytest.raises(ConfigError, match=re.escape(message)):
        Goal(keep=parse_keep("chrf >= 9"), cost="mac")


def test_a_goal_comes_back_from_json():
    goal = Goal(keep=parse_keep("dev_loss <= 0.25"), cost="latency")
    assert goal_from_json(goal.to_json()) == goal
    assert goal.unit == "ms an example"
