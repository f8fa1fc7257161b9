"""What is written is what is meant, both ways; what cannot be meant is refused."""

import dataclasses
import math
import re

import numpy as np
import pytest

from heedful.errors import ConfigError
from heedful.optimizing.budget import Budget, parse_budget


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
    assert str(budget) == written


def test_what_is_written_reads_back():
    random = np.random.default_rng(2)
    for size in (1e-9, 1e-3, 1.0, 123.0, 1e12, 1e40):
        for margin in random.normal(0, size, 40).tolist():
            for relative in (False, True):
                budget = Budget(metric="m", margin=margin, relative=relative)
                assert parse_budget(str(budget)) == budget
                assert parse_budget(str(budget)).higher_is_better == (margin < 0)


def test_zero_has_a_direction():
    assert parse_budget("bleu >= 0").higher_is_better
    assert not parse_budget("error <= 0").higher_is_better
    assert parse_budget(str(parse_budget("bleu >= 0%"))).higher_is_better
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
