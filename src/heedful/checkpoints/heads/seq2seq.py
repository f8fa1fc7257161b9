"""Encoder-decoders: what they write, against targets or against what the original writes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.heads._likelihood import likelihood_metrics, likelihoods
from heedful.checkpoints.heads._texts import (
    begun_with,
    labels_behind,
    targets_of,
    with_targets,
    written,
    written_labels,
)
from heedful.checkpoints.heads.base import Batch, Group, Head, batches_of, words_together
from heedful.checkpoints.inputs.base import Inputs
from heedful.checkpoints.inputs.text import TextInputs, tokenizer_of
from heedful.errors import UnsupportedError
from heedful.metrics.metric import Metric
from heedful.metrics.reading import itself
from heedful.metrics.texts import bleu, chrf, exact_match, word_error_rate
from heedful.optimizing.outputs import LABELS, call_model

LONGEST = 128  # tokens that are written, at most
TIMED = 32  # tokens that are written to measure time, of each example
LIKELIHOODS = ("loss", "perplexity")
# what a config says of how many tokens its decoder has places for
PLACES = ("max_target_positions", "max_decoder_position_embeddings", "max_position_embeddings")


def places_of(config: Any) -> int | None:
    """Return how many tokens an encoder-decoder has places to write; `None`: any number."""
    decoder = config.get_text_config(decoder=True)
    known = (getattr(decoder, name, None) for name in PLACES)
    return next((x for x in known if isinstance(x, int)), None)


class Seq2SeqHead(Head):
    """A text for a text or a sound.

    Where the data has no targets, those of the original are what should be written.

    Args:
        checkpoint: Opened.
        inputs: How it reads examples.

    Raises:
        UnsupportedError: It has no encoder of its own.
        RunError: The tokeniser is missing or damaged.
    """

    wants = "target"

    def __init__(self, checkpoint: Checkpoint, inputs: Inputs) -> None:
        super().__init__(checkpoint, inputs)
        if not getattr(checkpoint.config, "is_encoder_decoder", False):
            raise UnsupportedError(
                f"a model that writes must be an encoder and a decoder, got "
                f"{checkpoint.architecture}"
            )
        self.tokenizer = (
            inputs.tokenizer if isinstance(inputs, TextInputs) else tokenizer_of(checkpoint)
        )
        self._begun: dict[str, list[int]] = {}  # by file: all but what labels never hold

    @property
    def processors(self) -> tuple[Any, ...]:
        """What reads, and the tokeniser of what is written."""
        return tuple(dict.fromkeys((self.inputs.processor, self.tokenizer)))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Of texts, in per cent; and the loss and the perplexity of the targets."""
        texts = (each(truth=itself) for each in (chrf, bleu, exact_match, word_error_rate))
        return (*texts, *likelihood_metrics())

    @property
    def cells(self) -> int:
        """Tokens of a batch: the logits of a large vocabulary are what fills memory."""
        return words_together(self.config)

    def prepared(self, model: nn.Module, examples: Group) -> Group:
        """Return examples whose targets are what the original writes, where they have none.

        What Whisper begins the text of each sound with, such as its language, is asked for too.
        """
        if hasattr(model, "detect_language"):
            groups = self.groups(examples)
            batches = batches_of(self, model, groups)
            for group, batch in zip(groups, batches, strict=True):
                for example, (_, *begun) in zip(group, begun_with(model, batch), strict=True):
                    self._begun[example.file] = begun
        return with_targets(self, model, examples)

    def batch(self, group: Group) -> Batch:
        """Return inputs and what should be written."""
        found = self.inputs.batch(group)
        if all(example.target for example in group):
            found[LABELS] = self._labels(group)
        return found

    def _labels(self, group: Group) -> Tensor:
        """Targets as tokens; a tokeniser that was told a language begins with that itself."""
        longest = self._most(LONGEST)
        begun = [self._begun.get(example.file, []) for example in group]
        if any(begun) and getattr(self.tokenizer, "language", None) is None:
            return labels_behind(begun, self.tokenizer, group, longest)
        start = getattr(self.config, "decoder_start_token_id", None)
        return written_labels(self.tokenizer, group, longest, start=start)

    def answers(self, model: nn.Module, groups: Sequence[Group], metric: str) -> list[Any]:
        """Return what is written for each example; of a likelihood, what the targets cost."""
        if metric in LIKELIHOODS:
            found: list[Any] = []
            for batch in batches_of(self, model, groups):
                with torch.inference_mode():
                    found += likelihoods(call_model(model, batch).logits, batch[LABELS])
            return found
        rows = [self._written(model, batch) for batch in batches_of(self, model, groups)]
        return [text for texts in rows for text in texts]

    def _written(self, model: Any, batch: Batch) -> list[str]:
        tokens = written(model, batch, max_new_tokens=self._most(LONGEST))
        return self.tokenizer.batch_decode(tokens, skip_special_tokens=True)

    def truths(self, groups: Sequence[Group], metric: str) -> list[Any] | None:
        """Return the targets."""
        return targets_of(groups)

    def work(self, model: Any, groups: Sequence[Group]) -> object | None:
        """Write as many tokens for each of these examples, whatever they are."""
        steps = self._most(TIMED)
        for batch in batches_of(self, model, groups):
            written(model, batch, max_new_tokens=steps, min_new_tokens=steps)
        return True

    def _most(self, tokens: int) -> int:
        """So many, or as many as there are places for behind what texts begin with."""
        places = places_of(self.config)
        begun = 1 + max(map(len, self._begun.values()), default=0)
        return tokens if places is None else min(tokens, places - begun)
