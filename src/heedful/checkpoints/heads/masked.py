"""Masked language models: how likely the words are that were hidden from them."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.heads._likelihood import LikelihoodHead, likelihoods, unknown
from heedful.checkpoints.heads.base import Batch, Group, batches_of, called
from heedful.checkpoints.inputs.base import Inputs
from heedful.errors import DataError, UnsupportedError
from heedful.optimizing.outputs import LABELS

SHARE = 0.15  # of the words that are hidden


class MaskedHead(LikelihoodHead):
    """Words that are hidden, by what stands around them.

    Which ones are hidden is drawn from the text itself, so it is the same in every process.

    Args:
        checkpoint: Opened.
        inputs: How it reads examples.

    Raises:
        UnsupportedError: Its tokeniser has no token for what is hidden.

    Source:
        Devlin et al. 2019, arXiv:1810.04805, section 3.1 (15 %, here all as the mask token).
    """

    def __init__(self, checkpoint: Checkpoint, inputs: Inputs) -> None:
        super().__init__(checkpoint, inputs)
        if getattr(inputs.processor, "mask_token_id", None) is None:
            raise UnsupportedError(
                f"a masked language model must have a mask token, got none in {checkpoint.folder}"
            )

    def batch(self, group: Group) -> Batch:
        """Return tokens some of which are hidden, and these.

        Raises:
            DataError: A text is nothing but special tokens.
        """
        found = self.inputs.batch(group)
        ids = found["input_ids"]
        special = torch.tensor(self.inputs.processor.all_special_ids)
        words = (found["attention_mask"] > 0) & ~torch.isin(ids, special)
        hidden = torch.stack([hide(*row) for row in zip(ids, words, strict=True)])
        if not hidden.any(1).all():
            text = group[int((~hidden.any(1)).int().argmax())].text
            raise DataError(f"a text must have a word to hide, got none in {text!r:.80}")
        found[LABELS] = unknown(ids, ~hidden)
        found["input_ids"] = ids.masked_fill(hidden, self.inputs.processor.mask_token_id)
        return found

    def answers(self, model: nn.Module, groups: Sequence[Group], metric: str) -> list[Any]:
        """Return what the hidden words of each text cost in nats, and how many they are."""
        found: list[Any] = []
        for batch in batches_of(self, model, groups):
            found += likelihoods(called(model, batch).logits, batch[LABELS])
        return found


def hide(ids: Tensor, words: Tensor) -> Tensor:
    """Return which words of a text are hidden: one at least, where there is any.

    Args:
        ids: Tokens.
        words: Which of them are words.
    """
    places = words.nonzero().flatten()
    seed = hashlib.sha256(str(ids[places].tolist()).encode()).digest()[:4]
    draw = torch.Generator().manual_seed(int.from_bytes(seed, "big"))
    count = max(1, round(SHARE * len(places))) if len(places) else 0
    chosen = places[torch.randperm(len(places), generator=draw)[:count]]
    return torch.zeros_like(words).index_fill(0, chosen, True)
