"""How likely the words of texts are to a model: what language models are judged by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heedful.metrics.metric import Floats, Metric, SumMetric, per_example, quotient, ratio_metric
from heedful.metrics.rows import UNKNOWN

HIGHEST = 700.0  # nats a token whose exponential is a number still


def likelihood_metrics() -> tuple[Metric, ...]:
    """Return the loss, in nats a token, and the perplexity, which is its exponential."""

    def of(answers: Sequence[Any], _: Sequence[Any]) -> Floats:
        totals, counts = zip(*answers, strict=True)
        return per_example(totals, counts)

    def exponential(sums: Floats) -> Floats:
        return np.exp(np.minimum(quotient(sums), HIGHEST))

    loss = ratio_metric("loss", higher_is_better=False)
    return (
        SumMetric(name=loss.name, of=of, higher_is_better=False),
        SumMetric(name="perplexity", of=of, higher_is_better=False, combine=exponential),
    )


def likelihoods(logits: Tensor, labels: Tensor) -> list[tuple[float, int]]:
    """Return, for each text, the sum of what each of its words costs in nats, and their number.

    Args:
        logits: `(batch, length, vocabulary)`, at the place that is to say the word.
        labels: The words, `UNKNOWN` where none is asked for.
    """
    found: list[tuple[float, int]] = []
    for row, wanted in zip(logits, labels, strict=True):
        asked = wanted != UNKNOWN
        said = row[asked].float().log_softmax(-1)
        cost = -said.gather(-1, wanted[asked].unsqueeze(-1)).double().sum()
        found.append((float(cost), int(asked.sum())))
    return found


def unknown(labels: Tensor, hidden: Tensor) -> Tensor:
    """Return labels in which what is hidden is not asked for."""
    return torch.where(hidden, torch.full_like(labels, UNKNOWN), labels)
