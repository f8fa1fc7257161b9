"""Causal language models: how likely the words of texts are to them."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from heedful.checkpoints.heads._likelihood import LikelihoodHead, likelihoods, unknown
from heedful.checkpoints.heads.base import Batch, Group, batches_of, called
from heedful.errors import DataError
from heedful.optimizing.outputs import LABELS


class CausalHead(LikelihoodHead):
    """The next word of a text, from all before it."""

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
