"""A trained run as a problem of optimisation, whatever its task is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from heedful.config.problems import unknown_choice
from heedful.data.batches import size_batches
from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.metrics.metric import Floats, ratio_metric
from heedful.nn.compact import widened
from heedful.optimizing.problem import Problem, Split, unavailable
from heedful.tasks.base import Batch, Dataset, Task
from heedful.tasks.measure import measure
from heedful.training.run import Run
from heedful.training.splits import check_trained_on, training_examples

CALIBRATION = 256  # examples for scores and least squares
FINETUNING = 150_000  # examples to fine-tune with, at most
TIMED = 128  # examples that are answered to measure what sites cost
TOGETHER = 64  # examples in a batch of calibration
FINETUNING_RATE = 0.6  # of the learning rate of the training


def problem_of_run(
    run: Run, metric: str, *, seed: int = 0, test: Sequence[Any] | None = None
) -> Problem:
    """Return what must be known about a run.

    It is calibrated and fine-tuned on the training split, searched with on `dev`, and judged on
    `test`. An example that training saw is left out of `dev` and `test`, and one of `dev` out of
    `test`: the verdict is about what neither has seen.

    Args:
        run: Of a task that says what its model decides row by row.
        metric: One of the task's.
        seed: Of the calibration examples.
        test: Examples to judge with. `None` means the test split of the run.

    Raises:
        ConfigError: There is no such metric.
        UnsupportedError: The task does not say what its model decides.
        DataError: A split is empty, or all of its examples are in another one.
        RunError: The training data is not what it was.
    """
    task = _task(run)
    quality = task.metric(metric)
    if quality is None:
        raise ConfigError(unknown_choice("metric", [each.name for each in task.metrics], metric))
    held_out = {"dev": run.examples("dev"), "test": run.examples("test") if test is None else test}
    if not held_out["test"]:
        raise DataError(
            f"{run.folder} must have a test split for the verdict, got none. "
            "Give a file of examples to judge with (--test), or set data.test and train anew."
        )
    train, read = _trained_on(run)
    fresh, left_out = _unseen(task, train, held_out)
    data = {split: (task.encode(examples), examples) for split, examples in fresh.items()}
    splits: dict[Split, tuple[Dataset, list[Any]]] = {
        "dev": data["dev"],
        "test": data["test"],
    }

    def statistics(model: nn.Module, split: Split) -> Floats:
        return measure(task, model, *splits[split], metrics=[quality])[quality.name]

    return replace(
        _to_finetune(run, train, read, seed),
        statistics=statistics,
        metric=quality,
        dev_examples=len(fresh["dev"]),
        test_examples=len(fresh["test"]),
        **_timed(task, run.model, fresh["dev"]),
        left_out=left_out,
    )


def problem_to_finetune(run: Run, *, seed: int = 0) -> Problem:
    """Return what its training split alone tells about a run; it cannot be judged, nor timed.

    Args:
        run: Of a task that says what its model decides row by row.
        seed: Of the calibration examples.

    Raises:
        UnsupportedError: The task does not say what its model decides.
        RunError: The training data is not what it was.
    """
    _task(run)
    return _to_finetune(run, *_trained_on(run), seed)


def problem_to_profile(run: Run, *, seed: int = 0) -> Problem:
    """Return what can be known about a run from its `dev` split alone; it cannot be judged.

    Args:
        run: Of a task that says what its model decides row by row.
        seed: Of the examples that it is looked at with.

    Raises:
        UnsupportedError: The task does not say what its model decides.
    """
    task, examples = _task(run), run.examples("dev")
    data = task.encode(examples, training=True)
    chosen = np.random.default_rng(seed).permutation(len(data))[:CALIBRATION]
    batches = _batches(data, chosen.tolist(), run.device)
    return replace(_bare(task, run.model, batches), **_timed(task, run.model, examples))


def _task(run: Run) -> Task[Any, Any]:
    """The task of a run; one that cannot be imitated is refused before its data is read."""
    task = run.task
    if type(task).rows is Task.rows:
        raise UnsupportedError(
            f"the task of {run.folder} must say what its model decides row by row, "
            f"got {task.config.task}, which does not"
        )
    return task


def _timed(task: Task[Any, Any], model: nn.Module, examples: Sequence[Any]) -> dict[str, Any]:
    data = task.encode(examples[:TIMED])  # once: reading the examples is no part of the time
    with torch.inference_mode():
        work = task.work(model, data)

    @torch.inference_mode()
    def worked(candidate: nn.Module) -> object:
        return work(candidate)

    @torch.inference_mode()
    def answered(candidate: nn.Module) -> object:
        return task.answer(candidate, data)

    return {"work": worked, "use": answered}


def _trained_on(run: Run) -> tuple[list[Any], Dataset]:
    """The training split, which must be what the run was trained on, also made ready."""
    train = training_examples(run)
    read = run.task.encode(train, training=True)
    check_trained_on(run, read)
    return train, read


def _to_finetune(run: Run, train: Sequence[Any], data: Dataset, seed: int) -> Problem:
    task = run.task
    order = np.random.default_rng(seed).permutation(len(train))
    if len(train) > FINETUNING:
        data = task.encode([train[row] for row in order[:FINETUNING]], training=True)
        order = np.arange(len(data))
    chosen = order[order < len(data)][:CALIBRATION]  # encoding may leave examples out
    return replace(
        _bare(task, run.model, _batches(data, chosen.tolist(), run.device)),
        training=partial(_endless, task, data, run.device),
        learning_rate=run.config.train.learning_rate * FINETUNING_RATE,
        low_precision=run.about["precision"] == "bf16",
    )


def _bare(task: Task[Any, Any], model: nn.Module, calibration: Sequence[Batch]) -> Problem:
    """What a model says to batches, and nothing to fine-tune, judge or time it with."""
    with torch.inference_mode():
        said = task.rows(model, calibration[0])
    return Problem(
        model=widened(model),
        calibration=calibration,
        training=unavailable,
        outputs=lambda candidate, batch: task.rows(candidate, batch).outputs,
        kind=said.kind,
        truth=_truth_of(task, model) if said.kind == "logits" and said.truth is not None else None,
        statistics=unavailable,
        metric=ratio_metric("loss", higher_is_better=False),
        dev_examples=0,
        test_examples=0,
        work=unavailable,
        use=unavailable,
    )


def _truth_of(task: Task[Any, Any], model: nn.Module) -> Callable[[Batch], Tensor]:
    def truth(batch: Batch) -> Tensor:
        found = task.truth(batch)
        if found is None:
            with torch.no_grad():  # a tensor of inference mode cannot be learned from
                found = task.rows(model, batch).truth
        return cast(Tensor, found)  # there is one: of one batch it was asked before

    return truth


def _unseen(
    task: Task[Any, Any], train: Sequence[Any], splits: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """The examples of splits that neither the training split nor an earlier one holds."""
    seen = set(map(task.identity, train))
    fresh, left_out = dict[str, list[Any]](), dict[str, int]()
    for split, examples in splits.items():
        own = list(map(task.identity, examples))
        fresh[split] = [x for x, each in zip(examples, own, strict=True) if each not in seen]
        left_out[split] = len(examples) - len(fresh[split])
        if not fresh[split]:
            raise DataError(
                f"the {split} split must hold an example that no earlier split holds, "
                f"got {len(examples)} that one does"
            )
        seen.update(own)
    return fresh, left_out


def _batches(data: Dataset, rows: list[int], device: str) -> list[Batch]:
    rows.sort(key=lambda row: tuple(data.sizes[row]))
    starts = range(0, len(rows), TOGETHER)
    return [data.batch(rows[start : start + TOGETHER], device) for start in starts]


def _endless(task: Task[Any, Any], data: Dataset, device: str, seed: int) -> Iterator[Batch]:
    epoch = 0
    while True:
        for rows in size_batches(data.sizes, most=task.batch_limit, seed=seed, epoch=epoch):
            yield data.batch(rows, device)
        epoch += 1
