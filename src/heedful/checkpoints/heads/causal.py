"""Causal language models: how likely the words of texts are to them."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from heedful.checkpoints.heads._likelihood import likelihood_metrics, likelihoods, unknown
from heedful.checkpoints.heads.base import Batch, Group, Head, batches_of, called, words_together
from heedful.errors import DataError
from heedful.metrics.metric import Metric
from heedful.optimizing.outputs import LABELS


class CausalHead(Head):
    """The next word of a text, from all before it."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The loss, in nats a token, and the perplexity."""
        return likelihood_metrics()

    @property
    def cells(self) -> int:
        """Tokens of a batch: the logits of a large vocabulary are what fills memory."""
        return words_together(self.config)

    def batch(self, group: Group) -> Batch:
        """Return tokens, each of which is to be said by the place before it.

        Raises:
            DataError: A text has a single token, which nothing comes before.
        """
        found = self.inputs.batch(group)
        mask = found["attention_mask"]
        short = (mask.sum(1) < 2).nonzero().flatten().tolist()
        if short:
            text = group[short[0]].text
            raise DataError(f"a text must have two tokens at least, got one for {text!r:.80}")
        found[LABELS] = unknown(found["input_ids"], mask == 0)
        return found

    def answers(self, model: nn.Module, groups: Sequence[Group], metric: str) -> list[Any]:
        """Return what the words of each text cost in nats, and how many they are."""
        found: list[Any] = []
        for batch in batches_of(self, model, groups):
            logits = called(model, batch).logits
            found += likelihoods(logits[:, :-1], batch[LABELS][:, 1:])
        return found

    def truths(self, groups: Sequence[Group], metric: str) -> list[Any] | None:
        """Return the texts: they are what is to be said."""
        return [example for group in groups for example in group]
