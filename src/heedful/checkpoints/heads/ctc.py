"""Speech to text by frames (CTC): how many words and characters are wrong."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.heads._texts import targets_of, with_targets
from heedful.checkpoints.heads.base import Batch, Group, Head, batches_of, called
from heedful.checkpoints.inputs.base import Inputs
from heedful.checkpoints.inputs.text import tokenizer_of
from heedful.metrics.metric import Metric
from heedful.metrics.reading import itself
from heedful.metrics.texts import character_error_rate, word_error_rate
from heedful.optimizing.of_model import ModelSpec


class CtcHead(Head):
    """What is said in a sound, letter by letter of its frames.

    Where the data has no transcripts, those of the original are what should be written. Fine-tuning
    imitates the original frame by frame.

    Args:
        checkpoint: Opened.
        inputs: How it reads examples.

    Raises:
        RunError: The tokeniser is missing or damaged.
    """

    wants = "target"

    def __init__(self, checkpoint: Checkpoint, inputs: Inputs) -> None:
        super().__init__(checkpoint, inputs)
        self.tokenizer = tokenizer_of(checkpoint)

    @property
    def processors(self) -> tuple[Any, ...]:
        """What reads, and the tokeniser of what is written."""
        return tuple(dict.fromkeys((self.inputs.processor, self.tokenizer)))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Wrong words and wrong characters, in per cent."""
        return (word_error_rate(truth=itself), character_error_rate(truth=itself))

    @property
    def spec(self) -> ModelSpec:
        """Frames behind the end of a sound do not count."""
        return replace(super().spec, forward=frames, outputs="logits")

    def prepared(self, model: nn.Module, examples: Group) -> Group:
        """Return examples whose targets are what the original writes, where they have none."""
        return with_targets(self, model, examples)

    def answers(self, model: nn.Module, groups: Sequence[Group], metric: str) -> list[Any]:
        """Return what each sound says, by the likeliest letter of each frame."""
        found: list[str] = []
        for batch in batches_of(self, model, groups):
            best = called(model, batch).logits.argmax(-1)
            inside = inside_of(model, batch, best.shape[1])
            if inside is not None:  # silence behind the end
                best = best.masked_fill(~inside, self.tokenizer.pad_token_id)
            found += self.tokenizer.batch_decode(best)
        return found

    def truths(self, groups: Sequence[Group], metric: str) -> list[Any] | None:
        """Return the transcripts."""
        return targets_of(groups)


def frames(model: nn.Module, batch: Batch) -> Tensor:
    """Return what is said of each frame that is no padding, `(frames, letters)`."""
    logits = model(**batch).logits
    inside = inside_of(model, batch, logits.shape[1])
    return logits.flatten(0, 1) if inside is None else logits[inside]


def inside_of(model: Any, batch: Batch, length: int) -> Tensor | None:
    """Return which frames are no padding, `(batch, frames)`; `None` where the batch has none."""
    mask = batch.get("attention_mask")
    find = getattr(model, "_get_feature_vector_attention_mask", None)
    if mask is None or find is None:
        return None
    return find(length, mask).bool()
