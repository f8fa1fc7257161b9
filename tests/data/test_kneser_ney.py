"""Kneser-Ney: probabilities of everything sum to one, and are what the formula says."""

import re
from collections import Counter

import numpy as np
import pytest

from heedful.data.kneser_ney import KneserNey
from heedful.errors import ConfigError, DataError

SIZE = 5
TEXT = np.random.default_rng(0).choice(SIZE, 400, p=[0.5, 0.2, 0.2, 0.09, 0.01])


def oracle(text, history, token, order):
    """The formula of Chen and Goodman with dictionaries, one probability at a time."""
    text = list(text)
    grams = [
        Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)) for n in range(order + 2)
    ]

    def count(gram):
        if len(gram) == order:
            return grams[order][gram]
        seen = sum(other[1:] == gram for other in grams[len(gram) + 1])
        return max(seen, int(gram in grams[len(gram)]))

    def discounts(n):
        found = Counter(count(gram) for gram in grams[n])
        n1, n2, n3, n4 = (found[k] for k in (1, 2, 3, 4))
        if not (n1 and n2 and n3):
            return [0, 0.5, 0.5, 0.5]
        y = n1 / (n1 + 2 * n2)
        raw = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return [0, *(min(max(d, 0.05), k - 0.05) for k, d in enumerate(raw, 1))]

    def probability(h, w):
        n = len(h) + 1
        shorter = probability(h[1:], w) if h else 1 / SIZE
        children = [count((*h, v)) for v in range(SIZE)]
        if not sum(children):
            return shorter
        off = discounts(n)
        mass = sum(off[min(c, 3)] for c in children)
        own = children[w]
        return (own - off[min(own, 3)] + mass * shorter) / sum(children)

    return probability(tuple(history[-(order - 1) :] if order > 1 else ()), token)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("history", [[0, 1], [3, 3], [4, 4], [2, 0]])
def test_it_is_what_the_formula_says(order, history):
    model = KneserNey(TEXT, size=SIZE, order=order)
    found = [np.exp(model.log_probabilities([*history, token])[-1]) for token in range(SIZE)]
    assert found == pytest.approx([oracle(TEXT, history, w, order) for w in range(SIZE)])
    assert sum(found) == pytest.approx(1)


def test_a_token_sees_those_before_it_only():
    model = KneserNey(TEXT, size=SIZE, order=4)
    one = model.log_probabilities([0, 1, 2, 0, 3])
    other = model.log_probabilities([0, 1, 2, 4, 4])
    assert one[:3] == pytest.approx(other[:3])
    assert model.log_probabilities([]).tolist() == []


def test_a_text_that_repeats_is_learned():
    text = list(range(SIZE)) * 40
    assert KneserNey(text, size=SIZE, order=3).log_probabilities(text)[2:].min() > np.log(0.9)


def test_short_texts_and_tokens_never_seen_have_probabilities():
    model = KneserNey([1, 2], size=SIZE, order=6)
    assert np.isfinite(model.log_probabilities([4, 3, 2, 1, 0])).all()


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ConfigError, match="order must be at least 1, got 0"):
        KneserNey(TEXT, size=SIZE, order=0)
    with pytest.raises(DataError, match=re.escape("tokens must be a text to count, got none")):
        KneserNey([], size=SIZE, order=2)
