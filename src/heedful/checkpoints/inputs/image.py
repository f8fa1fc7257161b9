"""Images as the checkpoint's own processor makes them: resized, cut and normalised."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from heedful.checkpoints.examples import CheckpointExample
from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.inputs.base import Inputs, opened
from heedful.data.hashes import hash_array
from heedful.data.pictures import SUFFIXES, open_picture


class ImageInputs(Inputs):
    """PNG and JPEG files; each is read anew whenever it is needed.

    Args:
        checkpoint: Which brings its processor along.
        longest: Not used: all images have one size.

    Raises:
        RunError: There is no processor, or it is damaged.
    """

    needs = "file"
    suffixes = SUFFIXES
    most: ClassVar[Mapping[str, int]] = {"calibration": 512, "dev": 384, "test": 1_024}

    def __init__(self, checkpoint: Checkpoint, longest: int | None = None) -> None:
        from transformers import AutoImageProcessor

        self._processor: Any = opened(
            AutoImageProcessor, checkpoint, "image processor", config=checkpoint.config
        )

    @property
    def processor(self) -> Any:
        """The image processor."""
        return self._processor

    def identity(self, example: CheckpointExample) -> str:
        """Return a hash of the pixels and their number."""
        pixels = np.asarray(open_picture(example.file, "RGB"))
        return f"{pixels.shape}{hash_array(pixels)}"

    def size(self, example: CheckpointExample) -> int:
        """Return 0: all are resized."""
        return 0

    def batch(self, examples: Sequence[CheckpointExample]) -> dict[str, Tensor]:
        """Return the pixels of a batch."""
        pictures = [open_picture(example.file, "RGB") for example in examples]
        return dict(self._processor(images=pictures, return_tensors="pt"))
