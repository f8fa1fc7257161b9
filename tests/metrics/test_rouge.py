"""ROUGE: what loops say, whatever the script is."""

import re

import numpy as np
import pytest

from heedful.data.examples import Example
from heedful.errors import ConfigError, DataError
from heedful.metrics.rouge import common_subsequence, rouge, rouge_l, words

# rouge-score 0.1.2 without stemming gives these F1 for the pair (its own tests use it too)
TEXT, TRUTH = "testing one two", "testing"


def score(metric, text, truth):
    return metric.score(metric.statistics([text], [Example("", truth)]))


def longest(a, b):
    """The definition: try both ways at every difference."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest(a[1:], b[1:])
    return max(longest(a[1:], b), longest(a, b[1:]))


def test_known_numbers():
    assert score(rouge(1), TEXT, TRUTH) == pytest.approx(50)
    assert score(rouge_l(), TEXT, TRUTH) == pytest.approx(50)
    assert score(rouge(2), TEXT, TRUTH) == 0
    # Lin 2004, section 3.1: of "police killed the gunman", the second shares a longer sequence
    reference = "police killed the gunman"
    assert score(rouge_l(), "police kill the gunman", reference) == pytest.approx(75)
    assert score(rouge_l(), "the gunman kill police", reference) == pytest.approx(50)
    assert score(rouge(2), "the gunman kill police", reference) == pytest.approx(100 / 3)


@pytest.mark.parametrize("seed", range(20))
def test_sequences_are_what_the_definition_says(seed):
    draw = np.random.default_rng(seed)
    a, b = (draw.integers(3, size=draw.integers(9)).tolist() for _ in range(2))
    assert common_subsequence(a, b) == common_subsequence(b, a) == longest(a, b)


def test_a_text_is_itself_and_nothing_else_is_more():
    for metric in (rouge(1), rouge(2), rouge_l()):
        assert score(metric, "one two three", "one two three") == 100
        assert score(metric, "", "one two three") == 0
        assert score(metric, "four five", "one two three") == 0
    # a repeated word counts as often as the truth has it
    assert score(rouge(1), "the the the the", "the cat") == pytest.approx(100 / 3)


def test_words_of_every_script():
    assert words("It's the A_b, 12 é!") == ["it", "s", "the", "a", "b", "12", "é"]
    assert words("深度学习 ROUGE 模型") == [*"深度学习", "rouge", *"模型"]
    assert score(rouge_l(), "深度学习的模型", "深层学习模型") == pytest.approx(1000 / 13)


def test_a_score_is_the_mean_over_examples():
    examples = [Example("", "one two"), Example("", "three")]
    metric = rouge(1)
    statistics = metric.statistics(["one two", "four"], examples)
    assert metric.score(statistics) == pytest.approx(50)
    assert metric.alone(statistics).tolist() == [100, 0]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="size must be at least 1, got 0"):
        rouge(0)
    for metric, name in ((rouge_l(), "rougeL"), (rouge(2), "rouge2")):
        message = re.escape(f"{name} must have a truth with a word, got '...'")
        with pytest.raises(DataError, match=message):
            score(metric, "one", "...")
