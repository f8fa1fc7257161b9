"""Optimising a checkpoint folder: from one folder to another, which opens in any process."""

import tempfile
from pathlib import Path
from typing import Any

from heedful.allocation.per_layer import in_words_of_transformers
from heedful.checkpoints.examples import CheckpointData
from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.heads import Head, head_of
from heedful.checkpoints.heads.encoder import POOLING
from heedful.checkpoints.problem import UserQuality, problem_of_checkpoint, read_splits
from heedful.checkpoints.splits import CheckpointSplits
from heedful.nn.compact import ROUNDED, is_compact
from heedful.optimizing.budget import Budget, as_budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import EventListener, Note, Stage, ignore
from heedful.optimizing.into_folder import (
    IntoFolder,
    Opened,
    check_free,
    optimize_into,
    output_of,
)
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.settings import OptimizeSettings

FINAL_STEPS = 300  # of fine-tuning at the end: what was trained for long needs few

READERS = ("sentence_bert_config.json", POOLING)  # what else says how an encoder is used


def optimize_checkpoint(
    folder: Path | str,
    data: CheckpointData,
    *,
    lose: str | Budget,
    output: Path | str | None = None,
    quality: UserQuality | None = None,
    settings: OptimizeSettings | None = None,
    on_event: EventListener = ignore,
    clock: Clock | None = None,
) -> Outcome:
    """Optimise a checkpoint of Hugging Face and write a new folder.

    What the class of the model ends in says what is measured: an encoder keeps its vectors, a
    classifier its labels, a language model the likelihood of texts, what writes its texts. Examples
    are divided by their content into some to fine-tune with, some to choose with and some to judge
    on; one that the model could not tell from an earlier one is left out.

    Args:
        folder: With `config.json`, safetensors and a tokeniser or processor; never changed, but for
            a line in `test-looks.jsonl` for each time that a test split was judged on.
        data: Where examples are.
        lose: The budget, e.g. `cosine 0.02` or `accuracy 1`.
        output: New folder. `None` means the folder's name with `-optimised` behind it.
        quality: A metric of the user's own, by the name of the budget: called with a model and the
            batches of a split, returns one number for each example, in order.
        settings: How far to search. `None` means `OptimizeSettings` with `FINAL_STEPS`.
        on_event: Called with every event of `heedful.optimizing.events`.
        clock: Of the time that the settings give, where it began before this call.

    Returns:
        The accepted outcome; it is written already.

    Raises:
        BudgetError: Nothing was found that is faster and good enough; only the report is written.
        ConfigError: The budget cannot be read, or names an unknown metric.
        DataError: The examples cannot be read, or are too few.
        RunError: The folder is damaged or holds pickled weights only, the output holds something,
            or another process optimises into it.
        UnsupportedError: Nobody here knows what the checkpoint is for, or it has no attention that
            can be changed.
        MissingExtraError: transformers is not installed.
    """
    return optimize_into(
        checkpoint_into_folder(
            folder,
            data,
            lose=lose,
            output=output,
            quality=quality,
            settings=settings,
            on_event=on_event,
            clock=clock,
        )
    )


def checkpoint_into_folder(
    folder: Path | str,
    data: CheckpointData,
    *,
    lose: str | Budget,
    output: Path | str | None = None,
    quality: UserQuality | None = None,
    settings: OptimizeSettings | None = None,
    on_event: EventListener = ignore,
    clock: Clock | None = None,
) -> IntoFolder:
    """Return what `optimize_checkpoint` does, for `take_part`: with its arguments and errors."""
    folder, settings = Path(folder), settings or OptimizeSettings(final_steps=FINAL_STEPS)
    written = output_of(folder, output)
    check_free(written)
    clock = clock or Clock(settings.minutes)
    held = [open_checkpoint(folder)]
    head = head_of(held[0])
    budget = budget_for(head, lose, own=quality is not None)

    def opened() -> Opened:
        on_event(Stage(text="reading the checkpoint and the examples"))
        if is_compact(held[0].model):
            on_event(Note(text=ROUNDED))
        splits = read_splits(head, data, seed=settings.seed)
        for text in told(splits):
            on_event(Note(text=text))
        found = problem_of_checkpoint(held.pop(), head, splits, budget, quality=quality)

        def write(outcome: Outcome, report: dict[str, Any]) -> None:
            report["transformers"] = in_words_of_transformers(
                found.problem.model, outcome.model, outcome.plan.dropped_layers
            )
            outcome.write(written, report=report, beside=files_beside(head, folder))

        return Opened(  # what is optimised is a copy, and the model that was read is gone
            problem=found.problem,
            source=folder,
            splits={x: getattr(found.splits, x) for x in ("calibration", "dev", "test")},
            about={"checkpoint": str(folder), "data": described(data, found.splits)},
            write=write,
        )

    return IntoFolder(
        folder=written,
        opened=opened,
        budget=budget,
        settings=settings,
        clock=clock,
        on_event=on_event,
    )


def budget_for(head: Head, lose: str | Budget, *, own: bool = False) -> Budget:
    """Read a budget of a checkpoint.

    Args:
        head: Which knows the metrics.
        lose: What may be lost.
        own: Is the metric one of the user's own?

    Raises:
        ConfigError: It cannot be read, or names a metric that nobody knows.
    """
    lower = [each.name for each in head.metrics if not each.higher_is_better]
    budget = as_budget(lose, lower_is_better=lower)
    if not own:
        head.metric(budget.metric)
    return budget


def told(splits: CheckpointSplits) -> list[str]:
    """Say how many examples there are, and which were left out."""
    sizes = {name: len(getattr(splits, name)) for name in ("calibration", "dev", "test")}
    shown = ", ".join(f"{size:,} for {name}" for name, size in sizes.items())
    lines = [f"examples: {shown}"]
    if splits.repeated:
        what = "1 example" if splits.repeated == 1 else f"{splits.repeated:,} examples"
        lines.append(f"left {what} out that the model cannot tell from another")
    spare = sum(splits.spare.values())
    if spare:
        lines.append(f"left {spare:,} examples out that are more than is needed")
    return lines


def described(data: CheckpointData, splits: CheckpointSplits) -> dict[str, Any]:
    """Return which examples were used, as plain data."""
    sizes = {name: len(getattr(splits, name)) for name in ("calibration", "dev", "test")}
    return {
        "path": str(data.path),
        "test": None if data.test is None else str(data.test),
        "columns": dict(data.columns),
        "examples": sizes,
        "repeated": splits.repeated,
        "spare": dict(splits.spare),
    }


def files_beside(head: Head, folder: Path) -> dict[str, bytes]:
    """Return the files of a checkpoint that whoever opens a model also needs: its tokeniser or
    processor, and how its vectors are pooled.

    Args:
        head: Of the checkpoint.
        folder: Of the checkpoint.
    """
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as parent:
        for processor in head.processors:
            processor.save_pretrained(parent)
        for path in sorted(Path(parent).rglob("*")):
            if path.is_file():
                found[path.relative_to(parent).as_posix()] = path.read_bytes()
    for name in READERS:
        if (folder / name).is_file():
            found[name] = (folder / name).read_bytes()
    return found
