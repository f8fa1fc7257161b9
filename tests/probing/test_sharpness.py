"""Sharpness among more keys: against loops in float64, and what must hold."""

import math
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from heedful.mask import Mask
from heedful.probing.explicit_weights import ReturnedWeights
from heedful.probing.sharpness import sharpness
from heedful.testing import tolerance

sys.path.insert(0, str(Path(__file__).parent))
from planted_heads import planted_call, random_call


def of(call):
    return of_weights(call.weights)


def of_weights(weights):
    return sharpness([(weights, weights.heads)], heads=len(weights.heads))


def by_loops(call, sees):
    """The largest weight and the effective keys of each head among n, 2n and 4n keys."""
    w = call.weights
    query, key = w.query.double(), w.key.double()
    tops, effective = torch.zeros(3, 3), torch.zeros(3, 3)
    largest = torch.full((3,), -math.inf, dtype=torch.float64)
    for h in range(3):
        rows = []
        for b, i in product(range(w.batch), range(w.queries)):
            met = []  # by text
            for other in range(4):
                c = (b + other) % w.batch
                met.append(
                    [
                        w.scale * float(query[b, h, i] @ key[c, w.kv_heads[h], j])
                        for j in range(w.keys)
                        if sees(c, i, j)
                    ]
                )
            if met[0]:
                largest[h] = max(largest[h], *met[0])
            if not all(met):
                continue
            row = []
            for times in (1, 2, 4):
                scores = [score for text in met[:times] for score in text]
                powers = [math.exp(score) for score in scores]
                shares = [power / sum(powers) for power in powers]
                entropy = -sum(share * math.log(share) for share in shares)
                row.append((max(shares), math.exp(entropy)))
            rows.append(row)
        for place in range(3):
            tops[place, h] = sum(row[place][0] for row in rows) / len(rows)
            effective[place, h] = sum(row[place][1] for row in rows) / len(rows)
    return tops, effective, largest


HIDDEN = torch.ones(5, 1, 5, 7, dtype=torch.bool)
HIDDEN[1, :, :, 4:] = False
HIDDEN[2, :, 3] = False
KINDS = {
    "all": ({}, lambda b, i, j: True),
    "mask": ({"mask": Mask.causal()}, lambda b, i, j: j <= i + 2),
    "switch": ({"causal": True}, lambda b, i, j: j <= i),
    "visible": ({"visible": (HIDDEN,)}, lambda b, i, j: bool(HIDDEN[b, 0, i, j])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_those_of_loops(kind):
    rules, sees = KINDS[kind]
    call = random_call(scale=1.3, **rules)
    found, (tops, effective, largest) = of(call), by_loops(call, sees)
    tolerance.assert_close(found.top.float(), tops, roundings=64, largest=1.0)
    tolerance.assert_close(found.effective_keys.float(), effective, roundings=64, largest=28.0)
    tolerance.assert_close(found.largest_score.float(), largest, roundings=64, largest=8.0)


def test_planted_heads_disperse_as_everybody_knows():
    found = of(planted_call())
    no_op, broadcast, uniform, one_hot, _ = found.top.T.tolist()
    assert uniform == pytest.approx([1 / 8, 1 / 16, 1 / 32])
    # all texts have the same keys, so the one that is asked for stands there twice, and four times
    for head in (no_op, broadcast, one_hot):
        assert head == pytest.approx([1.0, 1 / 2, 1 / 4], abs=1e-6)
    assert found.effective_keys[:, 2].tolist() == pytest.approx([8.0, 16.0, 32.0])
    assert found.largest_score.tolist() == pytest.approx([30.0, 30.0, 0.0, 30.0, 30.0])


def test_the_same_text_again_halves_every_weight():
    call = random_call(batch=1, scale=3.0)
    weights = call.weights
    again = replace(
        weights, batch=4, query=weights.query.repeat(4, 1, 1, 1), key=weights.key.repeat(4, 1, 1, 1)
    )
    (top, *others), (keys, *more) = (
        numbers.tolist() for numbers in (of_weights(again).top, of_weights(again).effective_keys)
    )
    assert top == pytest.approx(of(call).top[0].tolist())
    for times, found, effective in zip((2, 4), others, more, strict=True):
        assert found == pytest.approx([weight / times for weight in top])
        assert effective == pytest.approx([number * times for number in keys])


@pytest.mark.parametrize("batch, known", [(1, 1), (2, 2), (3, 2), (4, 3)])
def test_there_must_be_as_many_texts(batch, known):
    found = of(random_call(batch=batch))
    for numbers in (found.top, found.effective_keys):
        assert (~numbers.isnan()).all(1).tolist() == [place < known for place in range(3)]


def test_what_is_no_softmax_of_products_says_nothing():
    call = random_call()
    weights = ReturnedWeights(
        batch=5,
        heads=(0, 1, 2),
        kv_heads=(0, 0, 1),
        rows=call.weights.rows,
        queries=5,
        keys=7,
        returned=torch.full((5, 3, 5, 7), 1 / 7),
    )
    found = sharpness([(weights, (0, 1, 2))], heads=3)
    for numbers in (found.top, found.effective_keys, found.largest_score):
        assert numbers.isnan().all()
