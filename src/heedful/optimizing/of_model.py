"""Any module as a subject of optimisation."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from heedful.allocation.attached import copied
from heedful.errors import ConfigError, DataError, ShapeError, UnsupportedError
from heedful.optimizing.metric import Floats, mean_metric, per_example
from heedful.optimizing.splits import Splits
from heedful.optimizing.subject import UNKNOWN, Batch, Split, Subject, unjudged

CALIBRATION = 16  # batches for scores and least squares
LABELS = "labels"  # what transformers calls the truth in a batch
DECODED = "decoder_input_ids"  # and what a decoder has written so far
NEXT = ("ForCausalLM", "LMHeadModel")  # ends of its names for models that shift labels themselves

Quality = Callable[[nn.Module, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a module is called and healed.

    Args:
        forward: The model's output for a batch. `None` means: a mapping is passed as keywords
            without its labels, from which a decoder of transformers gets its inputs where there are
            no others; of a tuple or list the first part, which may be a tuple itself; and anything
            else as it is.
        outputs: Are the outputs logits of alternatives, or values? `None` means logits where a
            module of transformers says so, or where the last axis has at least two.
        learning_rate: The largest one while healing.
        bf16: Heal under bf16 autocast?

    Raises:
        ConfigError: The learning rate is not above 0.
    """

    forward: Callable[[nn.Module, Batch], Any] | None = None
    outputs: Literal["logits", "values"] | None = None
    learning_rate: float = 3e-4
    bf16: bool = False

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}")


def subject_of_model(
    model: nn.Module,
    data: Splits,
    quality: Quality,
    *,
    metric: str,
    higher_is_better: bool,
    training: Training,
) -> Subject:
    """Return what must be known about a module.

    Args:
        model: Never changed; a copy of it is the original.
        data: `calibration` holds batches that the model is called with, several examples each;
            the other two are what `quality` understands.
        quality: Given a model and a split, returns one number for each example.
        metric: What the number is called.
        higher_is_better: Is more of it better?
        training: How the module is called and healed.

    Raises:
        ConfigError: `quality` does not give one number an example, or outputs are no tensors.
        DataError: An example is in two splits, also where they stand in different batches.
        UnsupportedError: The model has no parameters.
    """
    check_rows(data)
    subject = subject_of_batches(model, data.calibration, training)
    splits = {"validation": data.validation, "test": data.test}

    def statistics(model: nn.Module, split: Split) -> Floats:
        with torch.inference_mode():
            found = quality(model.eval(), splits[split])
        try:
            return per_example(found)
        except (DataError, ShapeError) as error:
            raise ConfigError(
                f"quality must return one number for each example of a split, got: {error}"
            ) from None

    return replace(
        subject,
        statistics=statistics,
        metric=mean_metric(metric, higher_is_better=higher_is_better),
        test_examples=len(statistics(subject.model, "test")),
    )


def subject_of_batches(model: nn.Module, data: Iterable[Batch], training: Training) -> Subject:
    """Return what can be known about a module from batches alone; it cannot be judged.

    Args:
        model: Never changed; a copy of it is the original.
        data: What the model is called with.
        training: How the module is called and healed.

    Raises:
        ConfigError: Outputs are no tensors.
        DataError: There is no batch.
        UnsupportedError: The model has no parameters.
    """
    if next(model.parameters(), None) is None:
        raise UnsupportedError("model must have parameters to be optimised, got none")
    original = copied(model).eval()
    batches = list(data)
    if not batches:
        raise DataError("batches must hold one at least, got none")
    calibration = batches[:CALIBRATION]
    call = training.forward or _call
    shifted = type(original).__name__.endswith(NEXT)
    with torch.inference_mode():
        output, named = _tensor(call(original, calibration[0]))

    def outputs(model: nn.Module, batch: Batch) -> Tensor:
        return _rows(_tensor(call(model, batch))[0], batch, shifted=shifted)

    def work(model: nn.Module) -> None:
        with torch.inference_mode():
            for batch in calibration:
                call(model, batch)

    several = output.ndim > 1 and output.shape[-1] > 1
    found = "logits" if named in ("logits", None) and several else "values"
    kind = training.outputs or found
    return Subject(
        model=original,
        calibration=calibration,
        training=lambda seed: _endless(batches, seed),
        outputs=outputs,
        kind=kind,
        truth=_truths(original, calibration[0], output, shifted=shifted)
        if kind == "logits"
        else None,
        statistics=unjudged,
        metric=mean_metric("quality"),
        test_examples=0,
        work=work,
        use=work,
        learning_rate=training.learning_rate,
        low_precision=training.bf16,
    )


def check_rows(data: Splits) -> None:
    """Raise when an example is in two splits, looking into batches.

    Raises:
        DataError: It is.
    """
    if data.key is not None:
        return  # it says what an example is, and was asked already
    axes = max((x.ndim for x in _tensors(data.calibration[0])), default=0)
    Splits(
        calibration=[row for item in data.calibration for row in _examples(item, axes)],
        validation=[row for item in data.validation for row in _examples(item, axes)],
        test=[row for item in data.test for row in _examples(item, axes)],
    )


def _examples(item: Any, axes: int) -> list[Any]:
    """The inputs of a batch, one by one; what has fewer axes than a batch is one example."""
    tensors = _tensors(item)
    if not tensors:
        return [item]
    if max(x.ndim for x in tensors) < axes:
        return [tuple(tensors)]
    sizes = {len(x) for x in tensors if x.ndim}
    if len(sizes) != 1 or any(not x.ndim for x in tensors):
        return [item]
    return [tuple(x[row] for x in tensors) for row in range(sizes.pop())]


def _tensors(item: Any) -> list[Tensor]:
    inputs = _inputs(item)
    parts = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
    parts = [parts] if isinstance(parts, Tensor) else parts
    return [x for x in parts if isinstance(x, Tensor)] if isinstance(parts, list | tuple) else []


def _inputs(batch: Batch) -> Any:
    if isinstance(batch, Mapping):
        return {name: value for name, value in batch.items() if name != LABELS}
    return batch[0] if isinstance(batch, list | tuple) and batch else batch


def _call(model: nn.Module, batch: Batch) -> Any:
    inputs = _inputs(batch)
    if isinstance(inputs, Mapping):
        shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
        if shift is not None and LABELS in batch and DECODED not in inputs:
            inputs = {**inputs, DECODED: shift(labels=batch[LABELS])}
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _tensor(output: Any) -> tuple[Tensor, str | None]:
    """The tensor that counts of an output, and what the output calls it."""
    if isinstance(output, Tensor):
        return output, None
    for name in ("logits", "last_hidden_state"):
        found = getattr(output, name, None)
        if isinstance(found, Tensor):
            return found, name
    first = output[0] if isinstance(output, tuple) and output else None
    if isinstance(first, Tensor):
        return first, None
    raise ConfigError(
        f"the output of the model must be a tensor, got {type(output).__name__}; "
        "pass Training(forward=...)"
    )


def _rows(output: Tensor, batch: Batch, *, shifted: bool) -> Tensor:
    """One row for each place that counts: no padding, where the batch says what that is."""
    if output.ndim == 1:
        return output[:, None]
    if isinstance(batch, Mapping) and output.ndim > 2:
        for name, without in ((LABELS, UNKNOWN), ("attention_mask", 0)):
            given = batch.get(name)
            if isinstance(given, Tensor) and given.shape == output.shape[:-1]:
                if shifted and name == LABELS:  # the place before says what this label asks for
                    given = nn.functional.pad(given[:, 1:], (0, 1), value=without)
                return output[given != without]
    return output.flatten(0, -2)


def _truth(batch: Batch) -> Any:
    if isinstance(batch, Mapping):
        return batch.get(LABELS)
    return batch[1] if isinstance(batch, list | tuple) and len(batch) > 1 else None


def _truths(
    model: nn.Module, example: Batch, output: Tensor, *, shifted: bool
) -> Callable[[Batch], Tensor] | None:
    """What is right in each row of outputs, where batches bring it along."""
    truth = _truth(example)
    if isinstance(example, Mapping) and output.ndim > 2 and not hasattr(model, "config"):
        return None  # whether labels are shifted inside is known of transformers' models only
    if not isinstance(truth, Tensor) or truth.is_floating_point():
        return None
    if truth.shape != output.shape[:-1]:
        return None

    def truths(batch: Batch) -> Tensor:
        given = cast(Tensor, _truth(batch)).long()
        if not isinstance(batch, Mapping) or given.ndim == 1:
            return given.flatten()
        if shifted:
            given = nn.functional.pad(given[:, 1:], (0, 1), value=UNKNOWN)
        return given[given != UNKNOWN]

    return truths


def _endless(batches: Sequence[Batch], seed: int) -> Iterator[Batch]:
    draw = random.Random(seed)
    order = list(range(len(batches)))
    while True:
        draw.shuffle(order)
        for index in order:
            yield batches[index]
