"""What is written is what is meant, both ways; what cannot be meant is refused."""

import dataclasses
import math
import re

import numpy as np
import pytest

from heedful.errors import ConfigError
from heedful.optimizing.budget import (
    Budget,
    as_budget,
    budget_of_keep,
    parse_budget,
    parse_lose,
)


@pytest.mark.parametrize(
    "text, metric, margin, relative, written",
    [
        ("chrf >= -0.5", "chrf", -0.5, False, "chrf >= -0.5"),
        ("chrf>=-.5", "chrf", -0.5, False, "chrf >= -0.5"),
        ("loss <= +0.05", "loss", 0.05, False, "loss <= +0.05"),
        ("  loss<=0.05 ", "loss", 0.05, False, "loss <= +0.05"),
        ("loss <= 0.5%", "loss", 0.005, True, "loss <= +0.5%"),
        ("chrf>=-1 %", "chrf", -0.01, True, "chrf >= -1%"),
        ("loss <= 0.7%", "loss", 0.007, True, "loss <= +0.7%"),
        ("recall@5 >= -100", "recall@5", -100.0, False, "recall@5 >= -100"),
        ("exact_match >= -1e-7", "exact_match", -1e-7, False, "exact_match >= -0.0000001"),
        ("error <= 20", "error", 20.0, False, "error <= +20"),
        ("error <= 2E+1", "error", 20.0, False, "error <= +20"),
        ("error <= 1e30", "error", 1e30, False, f"error <= +1{30 * '0'}"),
        ("bleu >= 0", "bleu", 0.0, False, "bleu >= 0"),
        ("error <= -0.0%", "error", 0.0, True, "error <= 0%"),
    ],
)
def test_reads_and_writes(text, metric, margin, relative, written):
    budget = parse_budget(text)
    assert budget == Budget(metric=metric, margin=margin, relative=relative)
    assert budget.higher_is_better == (">=" in text)
    assert budget.comparison == written


@pytest.mark.parametrize(
    "text, metric, margin, relative, written",
    [
        ("chrf 0.5", "chrf", -0.5, False, "chrf 0.5"),
        ("  chrf   .5 ", "chrf", -0.5, False, "chrf 0.5"),
        ("chrf -0.5", "chrf", -0.5, False, "chrf 0.5"),
        ("loss 0.05", "loss", 0.05, False, "loss 0.05"),
        ("loss +2 %", "loss", 0.02, True, "loss 2%"),
        ("loss -1", "loss", -1.0, False, "loss -1"),
        ("error +20", "error", 20.0, False, "error +20"),
        ("recall@5 1e-7", "recall@5", -1e-7, False, "recall@5 0.0000001"),
        ("bleu 0", "bleu", -0.0, False, "bleu 0"),
        ("error +0%", "error", 0.0, True, "error +0%"),
    ],
)
def test_reads_and_writes_what_may_be_lost(text, metric, margin, relative, written):
    budget = parse_lose(text)
    assert budget == Budget(metric=metric, margin=margin, relative=relative)
    assert budget.higher_is_better == (math.copysign(1, margin) < 0)
    assert str(budget) == written


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "lose must read METRIC NUMBER, such as 'chrf 0.5' or 'loss 2%', got ''"),
        ("chrf", "lose must read METRIC NUMBER, "),
        ("chrf0.5", "lose must read METRIC NUMBER, "),
        ("0.5", "lose must read METRIC NUMBER, "),
        ("chrf --1", "lose must read METRIC NUMBER, "),
        ("chrf >= -0.5", "got 'chrf >= -0.5'. >= and <= are of the older --keep."),
        ("loss<=1", "got 'loss<=1'. >= and <= are of the older --keep."),
        ("chrf nan", "lose must end in a finite number, such as 'chrf 0.5' or 'loss 2%', got "),
        ("chrf 1_0", "lose must end in a finite number, "),
        ("loss 1 2", "lose must end in a finite number, "),
        ("loss 5%%", "lose must end in a finite number, "),
        ("loss 1e9999999%", "lose must end in a finite number, "),
    ],
)
def test_rejects_what_says_no_loss(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_lose(text)


@pytest.mark.parametrize(
    "lose, budget",
    [
        (0.01, Budget(metric="quality", margin=-0.01)),
        (0, Budget(metric="quality", margin=-0.0)),
        ("loss 0.5%", Budget(metric="loss", margin=0.005, relative=True)),
        (Budget(metric="x", margin=-1.0), Budget(metric="x", margin=-1.0)),
    ],
)
def test_what_may_be_lost_comes_in_three_forms(lose, budget):
    assert as_budget(lose) == budget
    assert as_budget(lose).higher_is_better == budget.higher_is_better


@pytest.mark.parametrize(
    "lose, message",
    [
        (-0.01, "lose must be at least 0, got -0.01; of what should be low say 'quality +0.01'"),
        (math.nan, "lose must be at least 0, got nan"),
        (math.inf, "the margin of a budget must be finite, got -inf"),
        ("quality", "lose must read METRIC NUMBER"),
    ],
)
def test_what_is_no_loss_is_refused(lose, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        as_budget(lose)


@pytest.mark.parametrize(
    "keep, budget",
    [
        (-0.01, Budget(metric="quality", margin=-0.01)),
        (2, Budget(metric="quality", margin=2.0)),
        ("loss <= 0.5%", Budget(metric="loss", margin=0.005, relative=True)),
        (Budget(metric="x", margin=-1.0), Budget(metric="x", margin=-1.0)),
    ],
)
def test_what_older_versions_kept_comes_in_three_forms(keep, budget):
    assert budget_of_keep(keep) == budget


@pytest.mark.parametrize(
    "keep, message",
    [
        (0, "keep must be a margin with a sign, below 0 where more is better, got 0; "),
        (-0.0, "to allow no loss at all say 'quality >= 0'"),
        (math.nan, "the margin of a budget must be finite, got nan"),
        ("quality = 3", "a budget must compare by >="),
    ],
)
def test_what_older_versions_refused_still_is(keep, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        budget_of_keep(keep)


def test_a_task_says_of_which_metrics_less_is_better():
    assert parse_lose("frechet 5", lower_is_better=["frechet"]) == parse_lose("frechet +5")
    assert as_budget("loss 1", lower_is_better=[]) == parse_lose("loss -1")


def test_what_is_written_reads_back():
    random = np.random.default_rng(2)
    for size in (1e-9, 1e-3, 1.0, 123.0, 1e12, 1e40):
        for margin in random.normal(0, size, 40).tolist():
            for relative in (False, True):
                budget = Budget(metric="m", margin=margin, relative=relative)
                assert parse_budget(budget.comparison) == parse_lose(str(budget)) == budget
                assert parse_budget(budget.comparison).higher_is_better == (margin < 0)


def test_zero_has_a_direction():
    assert parse_budget("bleu >= 0").higher_is_better
    assert not parse_budget("error <= 0").higher_is_better
    assert parse_budget(parse_budget("bleu >= 0%").comparison).higher_is_better
    assert math.copysign(1, parse_budget("bleu >= 0").allowed(30.0)) == -1


@pytest.mark.parametrize(
    "text, before, allowed",
    [
        ("chrf >= -0.5", 80.0, -0.5),
        ("chrf >= -0.5%", 80.0, -0.4),
        ("loss <= 5%", 2.0, 0.1),
        ("likelihood >= -5%", -2.0, -0.1),  # a share of its size, whatever its sign
        ("loss <= 5%", 0.0, 0.0),
    ],
)
def test_what_is_allowed_is_in_units_of_the_score(text, before, allowed):
    assert parse_budget(text).allowed(before) == pytest.approx(allowed, rel=1e-15)


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "",
            "a budget must read METRIC >= NUMBER, such as 'chrf >= -0.5' or 'loss <= +0.05', "
            "got ''",
        ),
        ("chrf", "a budget must read METRIC >= NUMBER, "),
        ("my chrf >= -1", "a budget must read METRIC >= NUMBER, "),
        (">= -0.5", "a budget must begin with its metric, such as 'chrf >= -0.5'"),
        (
            "chrf == -0.5",
            "a budget must compare by >= (higher is better) or <= (lower is better), "
            "got == in 'chrf == -0.5'",
        ),
        ("chrf > -0.5", "got > in 'chrf > -0.5'"),
        ("chrf = -0.5", "got = in 'chrf = -0.5'"),
        ("chrf => -0.5", "got => in 'chrf => -0.5'"),
        (
            "loss <= nan",
            "a budget must end in a finite number, such as 'chrf >= -0.5' or 'loss <= +0.05', "
            "got 'nan' in 'loss <= nan'",
        ),
        ("loss <= inf", "a budget must end in a finite number, "),
        ("loss <= ", "a budget must end in a finite number, "),
        ("loss <= 1_0", "a budget must end in a finite number, "),
        ("loss <= ٣", "a budget must end in a finite number, "),
        ("loss <= 1 2", "a budget must end in a finite number, "),
        ("loss <= 5%%", "a budget must end in a finite number, "),
        ("loss <= 1e999", "a budget must end in a finite number, "),
        ("chrf >= -1e9999999%", "a budget must end in a finite number, "),
        ("loss <= 1e999999999999999999999", "a budget must end in a finite number, "),
        (
            "chrf >= 0.5",
            "the number behind >= must not be above 0, for it is how far chrf may fall, "
            "got 'chrf >= 0.5'",
        ),
        (
            "loss <= -5%",
            "the number behind <= must not be below 0, for it is how far loss may rise, "
            "got 'loss <= -5%'",
        ),
    ],
)
def test_rejects(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_budget(text)


def test_rejects_without_text():
    with pytest.raises(ConfigError, match="a budget must name its metric, got an empty name"):
        Budget(metric="", margin=-1.0)
    with pytest.raises(ConfigError, match="the margin of a budget must be finite, got nan"):
        Budget(metric="chrf", margin=math.nan)


def test_is_a_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_budget("chrf >= -1").margin = 0.0
    assert len({parse_budget("chrf >= -1"), parse_budget("chrf>=-1.0")}) == 1
