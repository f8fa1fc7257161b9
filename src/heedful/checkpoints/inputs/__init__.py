"""What checkpoints read: texts, images and sounds, as batches."""

from collections.abc import Callable
from inspect import signature

from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.inputs.base import Inputs
from heedful.checkpoints.inputs.image import ImageInputs
from heedful.checkpoints.inputs.sound import SoundInputs
from heedful.checkpoints.inputs.text import TextInputs
from heedful.errors import UnsupportedError

# by what the class calls its main input
INPUTS: dict[str, Callable[[Checkpoint, int | None], Inputs]] = {
    "input_ids": TextInputs,
    "pixel_values": ImageInputs,
    "input_values": SoundInputs,
    "input_features": SoundInputs,
}


def inputs_of(checkpoint: Checkpoint, *, longest: int | None = None) -> Inputs:
    """Return how a checkpoint reads examples.

    Args:
        checkpoint: Opened.
        longest: Tokens that are read of a text; `None` means as many as usual.

    Raises:
        UnsupportedError: It reads something else, or more than one of these.
        RunError: Its tokeniser or processor is missing or damaged.
    """
    name = getattr(checkpoint.model, "main_input_name", None)
    several = [each for each in signature(checkpoint.model.forward).parameters if each in INPUTS]
    if len(several) > 1:
        raise UnsupportedError(
            f"a checkpoint must read one of {', '.join(INPUTS)}, got {' and '.join(several)} of "
            f"{checkpoint.architecture}"
        )
    kind = INPUTS.get(str(name))
    if kind is None:
        raise UnsupportedError(
            f"a checkpoint must read {', '.join(INPUTS)}, got {name} of {checkpoint.architecture}"
        )
    return kind(checkpoint, longest)
