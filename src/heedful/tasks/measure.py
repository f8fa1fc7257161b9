"""What every example contributes to each metric, for evaluate, optimize and tune alike."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from heedful.metrics.metric import Floats, Metric
from heedful.tasks.base import Dataset, Task, device_of

if TYPE_CHECKING:
    from torch import nn


def measure(
    task: Task[Any, Any],
    model: "nn.Module",
    data: Dataset,
    examples: Sequence[Any],
    *,
    metrics: Sequence[Metric] | None = None,
    answers: Sequence[Any] | None = None,
) -> dict[str, Floats]:
    """Return the statistics of each metric, one row an example.

    Args:
        task: Knows how to answer.
        model: Of the task, in evaluation mode.
        data: The examples, made ready.
        examples: The same ones, with their truth.
        metrics: Which ones; `None` means all of the task.
        answers: Of the model, where they are known already.
    """
    metrics = task.metrics if metrics is None else metrics
    of_answers = [metric for metric in metrics if metric.reads == "answers"]
    of_rows = [metric for metric in metrics if metric.reads == "rows"]
    found: dict[str, Floats] = {}
    if of_answers:
        answers = _answers(task, model, data) if answers is None else answers
        found |= {metric.name: metric.statistics(answers, examples) for metric in of_answers}
    return found | (_of_rows(task, model, data, of_rows) if of_rows else {})


def _answers(task: Task[Any, Any], model: "nn.Module", data: Dataset) -> list[Any]:
    import torch

    with torch.inference_mode():
        return task.answer(model, data)


def _of_rows(
    task: Task[Any, Any], model: "nn.Module", data: Dataset, metrics: Sequence[Metric]
) -> dict[str, Floats]:
    import numpy as np
    import torch

    from heedful.data.batches import size_batches

    found: dict[str, Floats] = {}
    with torch.inference_mode():
        for rows in size_batches(data.sizes, most=task.batch_limit, seed=0, epoch=0):
            said = task.rows(model, data.batch(rows, device_of(model)))
            for metric in metrics:
                part = metric.statistics(cast(Any, said), rows)
                whole = found.setdefault(metric.name, np.zeros((len(data), part.shape[1])))
                whole[rows] = part
    return found
