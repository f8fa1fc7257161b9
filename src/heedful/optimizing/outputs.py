"""What goes into a module, what comes out, and what is right, as batches and outputs say it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from torch import Tensor, nn

from heedful.errors import ConfigError, DataError
from heedful.metrics.rows import UNKNOWN
from heedful.optimizing.problem import Batch

LABELS = "labels"  # what transformers calls the truth in a batch
DECODED = "decoder_input_ids"  # and what a decoder has written so far
NO_CLASSES = ("regression", "multi_label_classification")  # kinds of problems of transformers

Kind = Literal["logits", "values"]


def kind_of(
    model: nn.Module,
    batch: Batch,
    output: Tensor,
    named: str | None,
    *,
    unsaid: Kind | None = None,
) -> Kind:
    """Return what outputs are where the model says so; nothing is guessed.

    Logits: an output of transformers calls them so, and neither the model's config nor the labels
    of the batch speak of numbers or of independent labels. Values: a single number for each row,
    or an output that calls them `last_hidden_state`. A tensor without a name may be either, and
    whole numbers that come along with it may belong to a layer that follows elsewhere.

    Args:
        model: The original.
        batch: One that it was called with.
        output: What it returned.
        named: What the output calls it; `None` where it has no name.
        unsaid: What it is where nothing says so; `None` refuses.

    Raises:
        ConfigError: Nothing says so.
    """
    if output.ndim < 2 or output.shape[-1] == 1 or named == "last_hidden_state":
        return "values"
    if named == "logits" and output.ndim <= 3:  # what has more axes has its classes elsewhere
        truth = truth_of(batch)
        numbers = isinstance(truth, Tensor) and truth.is_floating_point()
        problem = getattr(getattr(model, "config", None), "problem_type", None)
        return "values" if numbers or problem in NO_CLASSES else "logits"
    if unsaid is not None:
        return unsaid
    raise ConfigError(
        "spec must say whether the outputs are logits or values where the model does not, "
        f"got a tensor of shape {tuple(output.shape)} from {type(model).__name__}. Pass "
        "ModelSpec(outputs='logits') for scores of classes or words, ModelSpec(outputs='values') "
        "for hidden states or numbers."
    )


def check_kind(kind: Kind, output: Tensor) -> None:
    """Refuse logits of one alternative: whatever a model said, nothing would differ.

    Raises:
        ConfigError: They are.
    """
    if kind == "logits" and (output.ndim < 2 or output.shape[-1] < 2):
        raise ConfigError(
            "logits must be of two alternatives at least, got outputs of shape "
            f"{tuple(output.shape)}; pass ModelSpec(outputs='values')"
        )


def tensors_of(item: Any) -> list[Tensor]:
    """Return the tensors among the inputs of a batch."""
    inputs = inputs_of(item)
    parts = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
    parts = [parts] if isinstance(parts, Tensor) else parts
    return [x for x in parts if isinstance(x, Tensor)] if isinstance(parts, list | tuple) else []


def inputs_of(batch: Batch) -> Any:
    """Return what a model is called with, without what is right."""
    if isinstance(batch, Mapping):
        return {name: value for name, value in batch.items() if name != LABELS}
    return batch[0] if isinstance(batch, list | tuple) and batch else batch


def call_model(model: nn.Module, batch: Batch) -> Any:
    """Call a model with a batch, as transformers and loops of torch do."""
    inputs = inputs_of(batch)
    if isinstance(inputs, Mapping):
        if LABELS in batch and DECODED not in inputs:
            inputs = {**inputs, **_decoded(model, batch[LABELS])}
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _decoded(model: Any, labels: Tensor) -> dict[str, Tensor]:
    """What a decoder of transformers has before it as it says each label; nothing of other models.

    Some classes have a method for it (mBART's begins with a language), others, as Whisper and
    M2M-100, shift labels only where they are called with them.
    """
    shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if shift is not None:
        return {DECODED: shift(labels=labels)}
    config = getattr(model, "config", None)
    start = getattr(config, "decoder_start_token_id", None)
    writes = getattr(config, "is_encoder_decoder", False) and model.can_generate()
    if start is None or not writes:
        return {}
    before = labels.roll(1, -1)
    before[..., 0] = start
    padding = getattr(config, "pad_token_id", None) or 0  # whatever it is, no label asks about it
    return {DECODED: before.masked_fill(before == UNKNOWN, padding)}


def tensor_of(output: Any) -> tuple[Tensor, str | None]:
    """Return the tensor that counts of an output, and what the output calls it.

    Raises:
        ConfigError: There is none.
    """
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
        "pass ModelSpec(forward=...)"
    )


def rows_of(output: Tensor, batch: Batch, *, shifted: bool) -> Tensor:
    """Return one row for each place that counts: no padding, where the batch says what that is."""
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


def truth_of(batch: Batch) -> Any:
    """Return what is right, as the batch says it; `None` where it does not."""
    if isinstance(batch, Mapping):
        return batch.get(LABELS)
    return batch[1] if isinstance(batch, list | tuple) and len(batch) > 1 else None


def truths_of(
    model: nn.Module, example: Batch, output: Tensor, *, shifted: bool
) -> Callable[[Batch], Tensor] | None:
    """Return what is right in each row of outputs, where batches bring it along.

    Raises:
        DataError: What is right is no alternative of the model.
    """
    truth = truth_of(example)
    if isinstance(example, Mapping) and output.ndim > 2 and not hasattr(model, "config"):
        return None  # whether labels are shifted inside is known of transformers' models only
    if not isinstance(truth, Tensor) or truth.is_floating_point():
        return None
    if truth.shape != output.shape[:-1]:
        return None
    known = truth[truth != UNKNOWN]
    if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < output.shape[-1]:
        raise DataError(
            f"labels must be numbers of one of the {output.shape[-1]} alternatives that the model "
            f"has, got {int(known.min())} to {int(known.max())}"
        )

    def truths(batch: Batch) -> Tensor:
        given = cast(Tensor, truth_of(batch)).long()
        if not isinstance(batch, Mapping) or given.ndim == 1:
            return given.flatten()
        if shifted:
            given = nn.functional.pad(given[:, 1:], (0, 1), value=UNKNOWN)
        return given[given != UNKNOWN]

    return truths
