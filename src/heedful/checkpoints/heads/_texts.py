"""What heads that write texts share: targets as tokens, and metrics of texts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from heedful.checkpoints.examples import CheckpointExample
from heedful.checkpoints.folder import quiet
from heedful.checkpoints.heads._likelihood import unknown
from heedful.checkpoints.heads.base import Batch, Group, Head
from heedful.errors import ConfigError
from heedful.metrics.rows import UNKNOWN
from heedful.optimizing.outputs import LABELS


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


def labels_behind(
    begun: Sequence[Sequence[int]],
    tokenizer: Any,
    examples: Sequence[CheckpointExample],
    longest: int,
) -> Tensor:
    """Return targets as tokens behind those that each text begins with, `UNKNOWN` where padded.

    Args:
        begun: What each begins with; not the one token that the model itself puts before labels.
        tokenizer: Of what is written.
        examples: With targets.
        longest: Tokens, at most.
    """
    texts = [example.target for example in examples]
    most = max(1, longest - max(map(len, begun)) - 1)
    found: Any = tokenizer(
        text_target=texts, add_special_tokens=False, truncation=True, max_length=most
    )
    end = tokenizer.eos_token_id
    rows = [
        torch.tensor([*first, *tokens, end])
        for first, tokens in zip(begun, found["input_ids"], strict=True)
    ]
    return pad_sequence(rows, batch_first=True, padding_value=UNKNOWN)


def written(model: Any, batch: Batch, **settings: Any) -> Any:
    """Return what a model writes for a batch, always the same.

    Args:
        model: Of transformers.
        batch: Its labels are not read.
        settings: Further arguments of `generate`.
    """
    inputs = {name: value for name, value in batch.items() if name != LABELS}
    with torch.inference_mode(), quiet():
        return model.generate(**inputs, do_sample=False, **settings)


def begun_with(model: Any, batch: Batch) -> list[list[int]]:
    """Return which tokens each text begins with before anything is written, as Whisper has it: a
    start, a language, which it may detect, a task, and that there are no timestamps.
    """
    found = written(
        model,
        batch,
        max_new_tokens=1,
        num_beams=1,
        use_cache=False,
        return_dict_in_generate=True,
        force_unique_generate_call=True,  # only then what it begins with is in the answer
    )
    return found.sequences[:, :-1].tolist()


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
