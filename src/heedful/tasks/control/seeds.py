"""Episodes as examples: seeds, what came of them, and their decisions put to any policy."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.tasks.base import Rows
from heedful.tasks.control.episodes import Environment, Played, play
from heedful.tasks.parts import SameSize

if TYPE_CHECKING:
    import torch
    from torch import Tensor

IMITATED = 128  # decisions of an episode: playing all of it takes longer than learning from it


@dataclass(frozen=True)
class Episode:
    """An episode that can be played.

    Args:
        seed: Of the environment's own random numbers.
    """

    seed: int


@dataclass(frozen=True, kw_only=True)
class PlayedEpisode:
    """What came of an episode.

    Args:
        seed: Of the environment's own random numbers.
        total: Sum of the rewards: the return.
        actions: What was done, step by step.
    """

    seed: int
    total: float
    actions: tuple[int, ...]


class Decisions:
    """A batch of episodes, and the first decisions in each of them.

    Which those are depends on who plays. So that several policies can be compared, decision by
    decision, the first one that is asked plays; the others are asked about what it met.

    Args:
        seeds: Of the episodes.
    """

    def __init__(self, seeds: list[int]) -> None:
        self.seeds = seeds
        self._played: Played | None = None

    def rows(self, model: Any, environment: Environment) -> Rows:
        """Return what a policy says to every decision."""
        import torch

        if self._played is None:
            self._played = play(model, environment, self.seeds, sample=False, most=IMITATED)
        episodes, steps = self._played.decisions()
        device = model.age.device
        history, lengths = self._played.histories(episodes, steps)
        logits, _ = model(history.to(device), lengths.to(device))
        example = torch.from_numpy(episodes).to(device)
        return Rows(outputs=logits, truth=None, example=example)


@dataclass(frozen=True)
class Seeds(SameSize):
    """Episodes as the seeds that they are."""

    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.seeds)

    def batch(self, rows: Sequence[int], device: object, *, random: object = None) -> Decisions:
        """Return the seeds of these episodes."""
        return Decisions([self.seeds[row] for row in rows])

    def fingerprint(self) -> list[int]:
        """Return how many there are, and their checksum."""
        return [len(self), zlib.crc32(np.array(self.seeds, np.uint64).tobytes())]


class Replay:
    """Let a policy decide again, step by step, whatever one before it met: the same work for all.

    Args:
        played: By the policy before.
        device: Where policies are.
    """

    def __init__(self, played: Played, device: "torch.device") -> None:
        self.steps: list[tuple[Tensor, Tensor]] = []
        for step in range(played.actions.shape[1]):
            playing = np.flatnonzero(step < played.lengths)
            history, lengths = played.histories(playing, np.full(len(playing), step))
            self.steps.append((history.to(device), lengths.to(device)))

    def __call__(self, model: Any) -> None:
        """Decide everything once."""
        import torch

        with torch.inference_mode():
            for history, lengths in self.steps:
                model(history, lengths)[0].argmax(-1)
