"""Any module as a problem of optimisation."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from heedful.allocation.attached import copied
from heedful.errors import ConfigError, DataError, ShapeError, UnsupportedError
from heedful.metrics.metric import Floats, mean_metric, per_example
from heedful.nn.compact import widened
from heedful.optimizing.digest import digest
from heedful.optimizing.ledger import Looks
from heedful.optimizing.optimize_data import OptimizeData
from heedful.optimizing.outputs import (
    Kind,
    call_model,
    check_kind,
    kind_of,
    rows_of,
    tensor_of,
    tensors_of,
    truths_of,
)
from heedful.optimizing.problem import Batch, Problem, Split, unavailable
from heedful.renamed import old_names

CALIBRATION = 16  # batches for scores and least squares
NEXT = ("ForCausalLM", "LMHeadModel")  # ends of its names for models that shift labels themselves

Quality = Callable[[nn.Module, Any], Any]


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """How a module is called and fine-tuned.

    Args:
        forward: The model's output for a batch. `None` means: a mapping is passed as keywords
            without its labels, from which a decoder of transformers gets its inputs where there are
            no others; of a tuple or list the first part, which may be a tuple itself; and anything
            else as it is.
        outputs: Are the outputs logits of alternatives along the last axis, which are imitated by
            their probabilities, or values, such as hidden states or what a regression returns,
            which are imitated by their squares? `None` means what the model says, and that is an
            error where it does not: see `kind_of`.
        learning_rate: The largest one while fine-tuning.
        bf16: Fine-tune under bf16 autocast?

    Raises:
        ConfigError: The learning rate is not above 0, or there is no such kind of outputs.
    """

    forward: Callable[[nn.Module, Batch], Any] | None = None
    outputs: Kind | None = None
    learning_rate: float = 3e-4
    bf16: bool = False

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.outputs not in (None, *get_args(Kind)):
            raise ConfigError(f"outputs must be one of logits, values, got {self.outputs!r}")

    def about(self) -> dict[str, Any]:
        """Return what a search depends on of these settings."""
        forward = getattr(self.forward, "__qualname__", type(self.forward).__name__)
        return {
            "forward": None if self.forward is None else forward,
            "outputs": self.outputs,
            "learning_rate": self.learning_rate,
            "bf16": self.bf16,
        }


def identity(model: nn.Module) -> str:
    """Return 32 letters that are the same for the same modules with the same numbers only.

    Raises:
        DataError: A number of it cannot be read, such as that of a sparse tensor.

    Cost:
        Reads every number once.
    """
    shown = re.sub(r"\b0x[0-9a-fA-F]+", "", repr(model))  # where a function stands in memory
    return digest([shown, dict(model.named_parameters()), dict(model.named_buffers())]).hex()


def problem_of_model(
    model: nn.Module,
    data: OptimizeData,
    quality: Quality,
    *,
    metric: str,
    higher_is_better: bool,
    spec: ModelSpec,
) -> Problem:
    """Return what must be known about a module.

    Args:
        model: Never changed; a copy of it is the original.
        data: `calibration` holds batches that the model is called with, several examples each;
            the other two are what `quality` understands.
        quality: Given a model and a split, returns one number for each example.
        metric: What the number is called.
        higher_is_better: Is more of it better?
        spec: How the module is called and fine-tuned.

    Raises:
        ConfigError: `quality` does not give one number an example, outputs are no tensors, or
            nothing says whether they are logits.
        DataError: An example is in two splits, also where they stand in different batches.
        UnsupportedError: The model has no parameters.

    Cost:
        The dev split is run once through the original. How many examples the test split has is told
        by how many numbers came of each row of the dev split.
    """
    check_rows(data)
    problem = problem_of_batches(model, data.calibration, spec)
    splits = {"dev": data.dev, "test": data.test}
    known: dict[Split, Floats] = {}

    def statistics(model: nn.Module, split: Split) -> Floats:
        if model is problem.model and split in known:
            return known[split]
        with torch.inference_mode():
            said = quality(model.eval(), splits[split])
        try:
            found = per_example(said)
        except (DataError, ShapeError) as error:
            raise ConfigError(
                f"quality must return one number for each example of a split, got: {error}"
            ) from None
        if model is problem.model:
            known[split] = found
        return found

    examples = len(statistics(problem.model, "dev"))
    return replace(
        problem,
        statistics=statistics,
        metric=mean_metric(metric, higher_is_better=higher_is_better),
        dev_examples=examples,
        test_examples=_examples_of_test(data, examples),
        count_look=Looks(),
    )


def problem_of_batches(
    model: nn.Module, data: Iterable[Batch], spec: ModelSpec, *, unsaid: Kind | None = None
) -> Problem:
    """Return what can be known about a module from batches alone; it cannot be judged.

    Args:
        model: Never changed; a copy of it is the original.
        data: What the model is called with.
        spec: How the module is called and fine-tuned.
        unsaid: The kind of outputs where nothing says it; `None` refuses them.

    Raises:
        ConfigError: Outputs are no tensors, or nothing says whether they are logits.
        DataError: There is no batch.
        UnsupportedError: The model has no parameters.
    """
    if next(model.parameters(), None) is None:
        raise UnsupportedError("model must have parameters to be optimised, got none")
    original = copied(widened(model)).eval()
    batches = list(data)
    if not batches:
        raise DataError("batches must hold one at least, got none")
    calibration = batches[:CALIBRATION]
    call = spec.forward or call_model
    shifted = type(original).__name__.endswith(NEXT)
    with torch.inference_mode():
        output, named = tensor_of(call(original, calibration[0]))

    def outputs(model: nn.Module, batch: Batch) -> Tensor:
        return rows_of(tensor_of(call(model, batch))[0], batch, shifted=shifted)

    def work(model: nn.Module) -> None:
        with torch.inference_mode():
            for batch in calibration:
                call(model, batch)

    kind = spec.outputs or kind_of(original, calibration[0], output, named, unsaid=unsaid)
    check_kind(kind, output)
    return Problem(
        model=original,
        calibration=calibration,
        training=lambda seed: _endless(batches, seed),
        outputs=outputs,
        kind=kind,
        truth=truths_of(original, calibration[0], output, shifted=shifted)
        if kind == "logits"
        else None,
        statistics=unavailable,
        metric=mean_metric("quality"),
        dev_examples=0,
        test_examples=0,
        work=work,
        use=work,
        learning_rate=spec.learning_rate,
        low_precision=spec.bf16,
    )


def check_rows(data: OptimizeData) -> None:
    """Raise when an example is in two splits, looking into batches.

    Raises:
        DataError: It is.
    """
    if data.key is not None:
        return  # it says what an example is, and was asked already
    axes = max((x.ndim for x in tensors_of(data.calibration[0])), default=0)
    OptimizeData(
        calibration=[row for item in data.calibration for row in _examples(item, axes)],
        dev=[row for item in data.dev for row in _examples(item, axes)],
        test=[row for item in data.test for row in _examples(item, axes)],
    )


def _examples_of_test(data: OptimizeData, dev_examples: int) -> int:
    """How many examples quality will see in the test split, when the dev split has so many."""
    if dev_examples == len(data.dev):
        return len(data.test)
    axes = max((x.ndim for x in tensors_of(data.calibration[0])), default=0)
    dev, test = (sum(len(_examples(x, axes)) for x in split) for split in (data.dev, data.test))
    return round(test * dev_examples / dev)


def _examples(item: Any, axes: int) -> list[Any]:
    """The inputs of a batch, one by one; what has fewer axes than a batch is one example."""
    tensors = tensors_of(item)
    if not tensors:
        return [item]
    if max(x.ndim for x in tensors) < axes:
        return [tuple(tensors)]
    sizes = {len(x) for x in tensors if x.ndim}
    if len(sizes) != 1 or any(not x.ndim for x in tensors):
        return [item]
    return [tuple(x[row] for x in tensors) for row in range(sizes.pop())]


def _endless(batches: Sequence[Batch], seed: int) -> Iterator[Batch]:
    draw = random.Random(seed)
    order = list(range(len(batches)))
    while True:
        draw.shuffle(order)
        for index in order:
            yield batches[index]


__getattr__ = old_names(__name__, Training=ModelSpec)
