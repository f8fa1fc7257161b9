"""A checkpoint and a file of examples as a problem of optimisation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from heedful.checkpoints.examples import CheckpointData, CheckpointExample, Role, read_examples
from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.heads import Head
from heedful.checkpoints.heads.base import Batch, Group, batches_of
from heedful.checkpoints.splits import CheckpointSplits, split_examples
from heedful.data.python_reference import python_reference
from heedful.data.sentences import sentences
from heedful.errors import ConfigError, DataError, ShapeError
from heedful.metrics.metric import Floats, Metric, mean_metric, per_example
from heedful.optimizing.budget import Budget
from heedful.optimizing.of_model import problem_of_batches
from heedful.optimizing.problem import Problem, Split

TIMED = 2  # batches that are written to measure the time of writing

UserQuality = Callable[[nn.Module, Sequence[Any]], Any]


@dataclass(frozen=True, kw_only=True)
class CheckpointProblem:
    """What is optimised, and the examples of its splits.

    Args:
        problem: All that a search needs.
        splits: Which examples are in it.
    """

    problem: Problem
    splits: CheckpointSplits


def read_splits(head: Head, data: CheckpointData, *, seed: int = 0) -> CheckpointSplits:
    """Read examples that a head can use, and divide them.

    Args:
        head: What they are for.
        data: Where they are.
        seed: Another one holds out others.

    Raises:
        DataError: They cannot be read, are too few, or only some of them have a label or target.
    """
    examples = examples_for(head, data.path, data)
    test = None if data.test is None else examples_for(head, data.test, data)
    inputs = head.inputs
    return split_examples(examples, inputs.identity, test=test, most=inputs.most, seed=seed)


def examples_for(head: Head, path: Any, data: CheckpointData) -> list[CheckpointExample]:
    """Read what a head can use of a file or a folder.

    Raises:
        DataError: It cannot be read, or only some examples have a label or a target.
    """
    inputs = head.inputs
    wants: tuple[Role, ...] = (*inputs.wants, *((head.wants,) if head.wants else ()))
    examples = read_examples(
        path, data.columns, needed=(inputs.needs,), wanted=wants, suffixes=inputs.suffixes
    )
    if head.wants is not None:
        known = sum(bool(getattr(example, head.wants)) for example in examples)
        if known not in (0, len(examples)):
            raise DataError(
                f"all examples or none must have a {head.wants}, got {known:,} of "
                f"{len(examples):,} with one in {path}"
            )
    return examples


def some_examples(head: Head, data: CheckpointData | None, *, most: int) -> list[CheckpointExample]:
    """Read a few examples; of texts, where no data is given, sentences of Python's reference.

    Args:
        head: What they are for.
        data: Where they are.
        most: How many.

    Raises:
        ConfigError: The model reads no texts, and no data is given.
        DataError: They cannot be read.
    """
    if data is not None:
        return examples_for(head, data.path, data)[:most]
    if head.inputs.needs != "text":
        raise ConfigError("--data must name a folder for a model that reads no texts, got nothing")
    lines = " ".join(python_reference().split())
    return [CheckpointExample(text=text) for text in sentences(lines)[:most]]


def problem_of_checkpoint(
    checkpoint: Checkpoint,
    head: Head,
    splits: CheckpointSplits,
    budget: Budget,
    *,
    quality: UserQuality | None = None,
) -> CheckpointProblem:
    """Return what must be known about a checkpoint.

    Args:
        checkpoint: Opened; its model is never changed.
        head: What it is for.
        splits: Examples.
        budget: Names the metric.
        quality: A metric of the user's own: called with a model and the batches of a split, with
            `labels` where they are known, returns one number for each example, in order.

    Raises:
        ConfigError: There is no such metric, it needs what the data does not say, or `quality` does
            not give one number an example.
        DataError: An example cannot be used.
        UnsupportedError: The model has no parameters.
    """
    whole = {
        name: head.prepared(checkpoint.model, getattr(splits, name))
        for name in ("calibration", "dev", "test")
    }
    groups = {name: head.groups(examples) for name, examples in whole.items()}
    calibration = batches_to_finetune(head, checkpoint.model, whole["calibration"])
    problem = problem_of_batches(checkpoint.model, calibration, head.spec, unsaid="values")
    metric = (
        mean_metric(budget.metric, higher_is_better=budget.higher_is_better)
        if quality is not None
        else head.metric(budget.metric)
    )
    statistics = (
        _measured(head, groups, problem.model, metric)
        if quality is None
        else _by_user(head, groups, quality)
    )
    timed = groups["dev"][:: max(1, len(groups["dev"]) // TIMED)][:TIMED]
    writing = _writing(head, timed) if type(head).work is not Head.work else {}
    found = replace(
        problem,
        statistics=statistics,
        metric=metric,
        dev_examples=len(whole["dev"]),
        test_examples=len(whole["test"]),
        **writing,
    )
    return CheckpointProblem(problem=found, splits=replace(splits, **whole))


def batches_to_finetune(
    head: Head, model: nn.Module, examples: Sequence[CheckpointExample]
) -> list[Batch]:
    """Return batches of all sizes in turn: the first ones stand for all of them.

    Args:
        head: Which makes them.
        model: Where they go.
        examples: In any order.

    Raises:
        DataError: An example cannot be used.
    """
    batches = list(batches_of(head, model, head.groups(examples)))
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(0))
    return [batches[number] for number in order.tolist()]


def _writing(head: Head, groups: Sequence[Group]) -> dict[str, Any]:
    def work(model: nn.Module) -> object:
        return head.work(model, groups)

    return {"work": work, "use": work}


def _measured(
    head: Head, groups: dict[str, list[Group]], original: nn.Module, metric: Metric
) -> Callable[[nn.Module, Split], Floats]:
    truths: dict[Split, list[Any]] = {}

    def statistics(model: nn.Module, split: Split) -> Floats:
        if split not in truths:
            known = head.truths(groups[split], metric.name)
            truths[split] = (
                head.answers(original, groups[split], metric.name) if known is None else known
            )
        answers = (
            truths[split]
            if model is original and head.truths(groups[split], metric.name) is None
            else head.answers(model.eval(), groups[split], metric.name)
        )
        return metric.statistics(answers, truths[split])

    return statistics


def _by_user(
    head: Head, groups: dict[str, list[Group]], quality: UserQuality
) -> Callable[[nn.Module, Split], Floats]:
    def statistics(model: nn.Module, split: Split) -> Floats:
        batches = list(batches_of(head, model, groups[split]))
        with torch.inference_mode():
            found = quality(model.eval(), batches)
        wanted = sum(len(group) for group in groups[split])
        try:
            values = per_example(found)
        except (DataError, ShapeError) as error:
            raise ConfigError(
                f"quality must return one number for each example of a split, got: {error}"
            ) from None
        if len(values) != wanted:
            raise ConfigError(
                f"quality must return one number for each example of {split}, got {len(values)} "
                f"for {wanted}"
            )
        return values

    return statistics
