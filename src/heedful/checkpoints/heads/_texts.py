"""What heads that write texts share: targets as tokens, and metrics of texts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from heedful.checkpoints.examples import CheckpointExample
from heedful.checkpoints.heads._likelihood import unknown
from heedful.checkpoints.heads.base import Group, Head
from heedful.errors import ConfigError


def targets_of(groups: Sequence[Group]) -> list[str]:
    """Return what should be written.

    Raises:
        ConfigError: The data does not say it.
    """
    found = [example.target for group in groups for example in group]
    if not all(found):
        raise ConfigError("every example must have a target, got some without")
    return found


def written_labels(
    tokenizer: Any, examples: Sequence[CheckpointExample], longest: int, *, start: int | None
) -> Tensor:
    """Return targets as tokens, `UNKNOWN` where they are padded.

    Args:
        tokenizer: Of what is written.
        examples: With targets.
        longest: Tokens, at most.
        start: What the model itself puts before all labels. A tokeniser that begins with it too, as
            Whisper's does, would have it read twice, which it never is when it writes.
    """
    texts = [example.target for example in examples]
    found: Any = tokenizer(
        text_target=texts, padding=True, truncation=True, max_length=longest, return_tensors="pt"
    )
    labels = unknown(found["input_ids"], found["attention_mask"] == 0)
    twice = start is not None and bool((labels[:, 0] == start).all())
    return labels[:, 1:].contiguous() if twice else labels


def with_targets(head: Head, model: nn.Module, examples: Group) -> Group:
    """Return examples whose targets are what the original writes, where they have none.

    Those for which it writes nothing are left out.
    """
    groups = head.groups([example for example in examples if not example.target])
    written = head.answers(model, groups, head.metrics[0].name)
    order = [example for group in groups for example in group]
    said = dict(zip(order, written, strict=True))
    found = [replace(x, target=x.target or said[x].strip()) for x in examples]
    return [example for example in found if example.target]
