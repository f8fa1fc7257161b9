"""Losses and accuracies of rows against loops over them."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.metrics import rows as module
from heedful.metrics.rows import row_accuracy, row_loss


class Rows(NamedTuple):
    outputs: Tensor
    truth: Tensor | None
    example: Tensor
    kind: str = "logits"


EXAMPLE = torch.tensor([0, 0, 2, 2, 2, 3, 0])  # the second of five, and the last, have no row
TRUTH = torch.tensor([1, 0, 3, -100, 2, 1, -100])


def logits(dtype=torch.float32):
    return torch.randn(7, 4, generator=torch.Generator().manual_seed(3)).to(dtype)


def slow(outputs, truth):
    """For each example: what its rows sum up to, and how many count."""
    sums = np.zeros((2, 5, 2))
    for row, right, example in zip(
        outputs.double().tolist(), truth.tolist(), EXAMPLE.tolist(), strict=True
    ):
        if right < 0:
            continue
        loss = math.log(sum(map(math.exp, row))) - row[right]
        hit = row.index(max(row)) == right
        sums[:, example] += [[loss, 1], [100 * hit, 1]]
    return sums


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cells", [1, 8, 1 << 20])
def test_rows_of_logits(dtype, cells, monkeypatch):
    monkeypatch.setattr(module, "CELLS", cells)
    outputs = logits(dtype)
    rows = Rows(outputs, TRUTH, EXAMPLE)
    loss, accuracy = slow(outputs, TRUTH)
    eps = torch.finfo(torch.float32).eps
    found = row_loss().statistics(rows, range(5))
    assert found == pytest.approx(loss, rel=32 * eps)
    right = row_accuracy().statistics(rows, range(5))
    assert (right == accuracy).all()
    assert 0 < row_accuracy().score(right) < 100
    assert row_loss().score(found) == pytest.approx(loss[:, 0].sum() / 5, rel=32 * eps)


def test_rows_of_values_have_a_loss():
    outputs = logits()[:, :2]
    rows = Rows(outputs, logits()[:, 2:], EXAMPLE, "values")
    found = row_loss(name="error").statistics(rows, range(5))
    want = np.zeros((5, 2))
    for said, true, example in zip(
        outputs.tolist(), rows.truth.tolist(), EXAMPLE.tolist(), strict=True
    ):
        want[example] += [sum((a - b) ** 2 for a, b in zip(said, true, strict=True)) / 2, 1]
    assert found == pytest.approx(want, rel=1e-6)


def test_what_they_are():
    loss, accuracy = row_loss(), row_accuracy(name="token_accuracy")
    assert (loss.name, loss.higher_is_better, loss.reads) == ("loss", False, "rows")
    assert (accuracy.name, accuracy.span, accuracy.reads) == ("token_accuracy", 100, "rows")
    assert row_accuracy().name == "accuracy"


@pytest.mark.parametrize(
    "metric, truth, kind, missing",
    [
        (row_loss(), None, "logits", "no truth"),
        (row_accuracy(), None, "values", "no truth"),
        (row_accuracy(), logits(), "values", "values"),
    ],
)
def test_rejects(metric, truth, kind, missing):
    message = f"{metric.name} must have rows of logits with their truth, got {missing}"
    with pytest.raises(UnsupportedError, match=message):
        metric.statistics(Rows(logits(), truth, EXAMPLE, kind), range(5))
