"""A sound as stretches of time that can fall silent."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REMOVAL = "silent, each band at its quietest"
MOST = 40  # stretches


@dataclass(frozen=True)
class Stretches:
    """Features of a sound, and how they are cut into stretches.

    Args:
        features: `(frames, bands)`, low frequencies first.
        stride: Frames that the model reads as one state.
        hop: Seconds from a frame to the next.
    """

    features: NDArray[np.float32]
    stride: int
    hop: float

    @property
    def states(self) -> tuple[int, ...]:
        """The stretch of each state of the model."""
        states = -(-len(self.features) // self.stride)
        together = -(-states // MOST)
        return tuple(state // together for state in range(states))

    @property
    def names(self) -> tuple[str, ...]:
        """When each stretch begins, in seconds."""
        states = self.states
        seconds = self.stride * self.hop
        return tuple(f"{states.index(n) * seconds:.2f} s" for n in range(states[-1] + 1))

    def kept(self, kept: Tensor) -> Tensor:
        """Return copies of the features, `(copies, frames, bands)`.

        Args:
            kept: `(copies, stretches)`; where it is False, each band is at its quietest.
        """
        features = torch.from_numpy(self.features).to(kept.device)
        states = torch.tensor(self.states, device=kept.device)
        frames = torch.arange(len(features), device=kept.device) // self.stride
        there = kept[:, states[frames]]
        return torch.where(there[..., None], features, features.amin(0))

    def canvas(self) -> NDArray[np.uint8]:
        """Return the spectrogram as an image, low frequencies at the bottom."""
        low, high = self.features.min(), self.features.max()
        shades = (self.features - low) / max(float(high - low), 1e-9)
        return np.rint(255 * shades.T[::-1, :, None]).astype(np.uint8)
