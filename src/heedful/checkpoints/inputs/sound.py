"""Sounds as the checkpoint's own feature extractor makes them: one channel, at its rate."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from heedful.checkpoints.examples import CheckpointExample
from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.inputs.base import Inputs, opened
from heedful.data.hashes import hash_array
from heedful.data.sounds import SUFFIXES, SoundReader

LONGEST = 30.0  # seconds that are read of a sound


class SoundInputs(Inputs):
    """WAV and FLAC files; each is read anew whenever it is needed.

    Args:
        checkpoint: Which brings its feature extractor along.
        longest: Seconds that are read of a sound; `None` means `LONGEST`.

    Raises:
        RunError: There is no feature extractor, or it is damaged.
    """

    needs = "file"
    suffixes = SUFFIXES
    most: ClassVar[Mapping[str, int]] = {"calibration": 512, "dev": 384, "test": 1_024}

    def __init__(self, checkpoint: Checkpoint, longest: int | None = None) -> None:
        from transformers import AutoFeatureExtractor

        self._processor: Any = opened(AutoFeatureExtractor, checkpoint, "feature extractor")
        self.rate = int(self._processor.sampling_rate)
        self._reader = SoundReader(rate=self.rate, resample=True, longest=longest or LONGEST)
        self._lengths: dict[str, int] = {}

    @property
    def processor(self) -> Any:
        """The feature extractor."""
        return self._processor

    def identity(self, example: CheckpointExample) -> str:
        """Return a hash of the samples and their number."""
        samples = self._reader.read(example.file)
        self._lengths[example.file] = len(samples)
        return f"{len(samples)} {hash_array(samples)}"

    def size(self, example: CheckpointExample) -> int:
        """Return its length, in hundredths of a second."""
        if example.file not in self._lengths:
            self.identity(example)
        return 1 + 100 * self._lengths[example.file] // self.rate

    def batch(self, examples: Sequence[CheckpointExample]) -> dict[str, Tensor]:
        """Return samples or features, padded to the longest."""
        sounds = [self._reader.read(example.file) for example in examples]
        padding = "max_length" if hasattr(self._processor, "nb_max_frames") else True
        return dict(
            self._processor(sounds, sampling_rate=self.rate, padding=padding, return_tensors="pt")
        )
