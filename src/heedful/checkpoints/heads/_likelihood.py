"""How likely the words of texts are to a model: what language models are judged by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heedful.checkpoints.heads.base import Group, Head, words_together
from heedful.metrics.metric import Floats, Metric, SumMetric, per_example, quotient, ratio_metric
from heedful.metrics.rows import UNKNOWN

HIGHEST = 700.0  # nats a token whose exponential is a number still


class LikelihoodHead(Head):
    """A head that says how likely words are: all of a text, or those hidden in it."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The loss, in nats a token that is asked for, and the perplexity."""
        return likelihood_metrics()

    @property
    def cells(self) -> int:
        """Tokens of a batch: the logits of a large vocabulary are what fills memory."""
        return words_together(self.config)

    def truths(self, groups: Sequence[Group], metric: str) -> list[Any] | None:
        """Return the texts: they are what is to be said."""
        return [example for group in groups for example in group]


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
