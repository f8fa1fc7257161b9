"""Profiling a checkpoint folder: what attention takes, and what could be faster at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from heedful.bench.timing import in_turns, ratio
from heedful.checkpoints.examples import CheckpointData, CheckpointExample
from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.heads import Head, head_of
from heedful.checkpoints.heads.base import TOGETHER, batches_of
from heedful.checkpoints.problem import some_examples
from heedful.optimizing.outputs import call_model
from heedful.profiling.findings.finding import ROUNDS, Finding, worth_it
from heedful.profiling.findings.padding import MUCH, padded_share
from heedful.profiling.profile import LEFT_OUT, Profile, ProgressListener, profile

LOOKED_AT = 16 * TOGETHER  # examples: as many batches as a profile runs


def profile_checkpoint(
    folder: Path | str,
    data: CheckpointData | None = None,
    *,
    leave_out: int = LEFT_OUT,
    key_block: int | None = None,
    seed: int = 0,
    on_progress: ProgressListener = lambda text: None,
) -> Profile:
    """Measure what the attention of a checkpoint costs, which of it matters, and what is free.

    Examples are put into batches as they come, 32 at a time, as whoever reads a file would.

    Args:
        folder: A checkpoint of Hugging Face, or what `heedful optimize` made of one.
        data: Where examples are. `None` means sentences of Python's language reference, for models
            that read texts.
        leave_out: As in `heedful.profile`.
        key_block: As in `heedful.profile`.
        seed: As in `heedful.profile`.
        on_progress: As in `heedful.profile`.

    Raises:
        ConfigError: The model reads no texts, and no data is given.
        DataError: The examples cannot be read.
        RunError: The folder is damaged or holds pickled weights only.
        UnsupportedError: Nobody here knows what the checkpoint is for, or it has no attention.
    """
    on_progress("reading the checkpoint")
    checkpoint = open_checkpoint(folder)
    head = head_of(checkpoint)
    examples = head.prepared(checkpoint.model, some_examples(head, data, most=LOOKED_AT))
    model = checkpoint.model
    plain = _batches(head, model, [*_in_order(examples)])
    found = profile(
        model,
        plain,
        forward=head.spec.forward,
        outputs=head.spec.outputs,
        leave_out=leave_out,
        key_block=key_block,
        seed=seed,
        on_progress=on_progress,
    )
    padding = _padding(head, model, examples[: TOGETHER * found.batches], plain[: found.batches])
    others = [each for each in found.findings if padding is None or each.name != "padding"]
    findings = sorted((*others, *(padding or ())), key=lambda each: -(each.gain or 0))
    return replace(found, findings=tuple(findings))


def _in_order(examples: Sequence[CheckpointExample]) -> list[list[CheckpointExample]]:
    return [list(examples[at : at + TOGETHER]) for at in range(0, len(examples), TOGETHER)]


def _batches(head: Head, model: Any, groups: Any) -> list[dict[str, Any]]:
    return list(batches_of(head, model, groups))


def _called(model: Any, batch: dict[str, Any]) -> Any:
    """A decoder is given what stands before each label; labels alone would be no input of it."""
    with torch.inference_mode():
        return call_model(model, batch)


def _padding(
    head: Head, model: Any, examples: list[CheckpointExample], plain: list[dict[str, Any]]
) -> list[Finding] | None:
    """The padding of batches in the order of the file, and what the order of lengths saves: nothing
    where that is no faster, `None` where it was not measured.
    """
    share = padded_share(plain)
    if share < MUCH or len(plain) == 1:
        return None
    by_length = _batches(head, model, head.inputs.groups(examples, cells=1 << 30))
    ways = {"as it comes": plain, "by length": by_length}
    times = in_turns(
        {
            name: lambda batches=batches: [_called(model, batch) for batch in batches]
            for name, batches in ways.items()
        },
        rounds=ROUNDS,
    )
    gain = ratio(times["as it comes"], times["by length"])
    if not worth_it(gain):
        return []
    return [
        Finding(
            name="padding",
            text=f"{share:.0%} of the places are padding in the order of the file, "
            f"{padded_share(by_length):.0%} in that of their lengths: {gain} faster",
            remedy="sort texts by their length before they are put into batches",
            gain=gain.median,
        )
    ]
