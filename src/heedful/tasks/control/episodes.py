"""Episodes of a gymnasium environment: how they are played, and what a policy remembers of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from heedful.errors import ConfigError, DataError, MissingExtraError, RunError

if TYPE_CHECKING:
    from torch import Tensor

    from heedful.models.memory_policy import MemoryPolicy

Floats = NDArray[np.float32]

TRIED = 64  # episodes played at random to learn what observations look like
CONSTANT = 1e-6  # numbers of an observation that vary less are only shifted


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a policy sees of an environment, and what it may do there.

    Args:
        name: As gymnasium knows it.
        hide: Numbers of an observation that the policy does not see.
        limit: Steps after which an episode is cut off; `None` means those of the environment.
        actions: How many there are.
        start: Number of the first one.
        mean: Of each number that is seen, in episodes played at random.
        std: The same.
    """

    name: str
    hide: tuple[int, ...]
    limit: int | None
    actions: int
    start: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def explore(
        cls, name: str, *, hide: Sequence[int], limit: int | None, seeds: Sequence[int]
    ) -> Self:
        """Play at random, and measure what is seen.

        Args:
            name: As gymnasium knows it.
            hide: Numbers of an observation that the policy does not see.
            limit: Steps after which an episode is cut off; `None` means those of the environment.
            seeds: Of episodes, of which the first ones are played.

        Raises:
            ConfigError: See `made`; or `hide` names no number of an observation, or all of them.
        """
        game = made(name, limit)
        size = game.observation_space.shape[0]
        wrong = [each for each in hide if not 0 <= each < size]
        kept = np.setdiff1d(np.arange(size), hide)
        if wrong or not len(kept):
            raise ConfigError(
                f"data.hide must leave some of the numbers 0 to {size - 1} that {name} shows, "
                f"got {list(hide)}"
            )
        actions, start = int(game.action_space.n), int(game.action_space.start)
        seen: list[Any] = []
        for seed in seeds[:TRIED]:
            random = np.random.default_rng(seed)
            seen.append(game.reset(seed=seed)[0])
            over = False
            while not over:
                action = start + int(random.integers(actions))
                observation, _, terminated, truncated, _ = game.step(action)
                seen.append(observation)
                over = terminated or truncated
        game.close()
        numbers = np.array(seen, np.float64)[:, kept]
        std = np.where(numbers.std(0) < CONSTANT, 1.0, numbers.std(0))
        return cls(
            name=name,
            hide=tuple(hide),
            limit=limit,
            actions=actions,
            start=start,
            mean=tuple(numbers.mean(0).tolist()),
            std=tuple(std.tolist()),
        )

    def check(self, path: Path, name: str, *, hide: Sequence[int], limit: int | None) -> None:
        """Check what was read from a file: it is of this environment, and its numbers are such.

        Raises:
            RunError: It is of another one, or something else than `explore` returns.
        """
        told, wanted = (self.name, self.hide, self.limit), (name, tuple(hide), limit)
        if told != wanted:
            raise RunError(
                f"{path} must be of {', '.join(map(str, wanted)):.100} as config.toml says, "
                f"got {', '.join(map(str, told)):.100}"
            )
        numbers = (*self.mean, *self.std)
        whole = self.actions > 0 and len(self.mean) == len(self.std) > 0
        if not (whole and all(map(math.isfinite, numbers)) and min(self.std) > 0):
            raise RunError(
                f"{path} must have actions, and a mean and a positive std of each number that is "
                f"seen, got {self.actions} actions and {numbers!s:.100}"
            )

    def check_game(self, game: Any) -> None:
        """Check that what is played is what was explored, also by another version of gymnasium.

        Raises:
            ConfigError: It shows other numbers, or has other actions.
        """
        size, action = game.observation_space.shape[0], game.action_space
        found = (size - len(self.hide), int(action.n), int(action.start))
        known = (len(self.mean), self.actions, self.start)
        if found != known:
            raise ConfigError(
                f"{self.name} must have the numbers seen, actions and first action {known} that "
                f"were learned with, got {found}"
            )

    @property
    def inputs(self) -> int:
        """Numbers of a moment: of what is seen, and one for each action that led there."""
        return len(self.mean) + self.actions

    def moments(self, observations: Sequence[Any], actions: Sequence[int] = ()) -> Floats:
        """Return what is remembered of moments: what was seen, and what was done before, if any.

        Raises:
            DataError: What was seen is infinite, or no number.
        """
        seen = (np.delete(observations, self.hide, axis=1) - self.mean) / self.std
        if not np.isfinite(seen).all():
            raise DataError(
                f"observations of {self.name} must be numbers, got {observations!r:.200}"
            )
        done = np.eye(self.actions)[list(actions)] if actions else np.zeros((1, self.actions))
        done = np.broadcast_to(done, (len(seen), self.actions))
        return np.concatenate([seen, done], axis=1).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Played:
    """Episodes side by side, padded to the longest one.

    Args:
        moments: `(episodes, memory + steps, inputs)`, the oldest first, with zeros for the
            `memory - 1` moments before the first one; the last one is what was seen in the end.
        actions: `(episodes, steps)`.
        rewards: `(episodes, steps)`.
        lengths: Steps of each episode.
        terminated: Which episodes ended by themselves; the others were cut off.
        memory: Moments that a decision may depend on.
    """

    moments: Floats
    actions: NDArray[np.int64]
    rewards: Floats
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    memory: int

    def decisions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the episode and the step of every decision."""
        episodes, steps = np.nonzero(np.arange(self.actions.shape[1]) < self.lengths[:, None])
        return episodes, steps

    def histories(
        self, episodes: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> "tuple[Tensor, Tensor]":
        """Return what could be seen at these steps, the newest moment first, and its length."""
        import torch

        moments = steps[:, None] + self.memory - 1 - np.arange(self.memory)
        lengths = np.minimum(steps + 1, self.memory)
        history = self.moments[episodes[:, None], moments]
        return torch.from_numpy(history), torch.from_numpy(lengths)

    def last(self) -> "tuple[Tensor, Tensor]":
        """Return what could be seen when each episode was over."""
        return self.histories(np.arange(len(self.lengths)), self.lengths)


def made(name: str, limit: int | None = None) -> Any:
    """Return an environment of gymnasium.

    Args:
        name: As gymnasium knows it; code is never loaded by its name.
        limit: Steps after which an episode is cut off; `None` means those of the environment.

    Raises:
        MissingExtraError: gymnasium is not installed.
        ConfigError: There is no such environment, or it has other observations than vectors,
            other actions than a few to choose from, or episodes that need not end.
    """
    try:
        import gymnasium
    except ImportError:
        raise MissingExtraError(
            "environments need the package gymnasium, got none. Run: pip install 'heedful[control]'"
        ) from None
    if ":" in name:  # gymnasium would import what stands before it
        raise ConfigError(f"data.environment must be registered with gymnasium, got {name!r}")
    try:
        game: Any = gymnasium.make(name, max_episode_steps=limit, disable_env_checker=True)
    except Exception as error:  # also whatever the code of an environment raises
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"data.environment must be one that gymnasium can make, got {name!r}: {said:.300}"
        ) from None
    spaces = gymnasium.spaces
    seen, done = game.observation_space, game.action_space
    if not (isinstance(seen, spaces.Box) and len(seen.shape) == 1):
        raise ConfigError(f"observations of {name} must be vectors, got {seen}")
    if not isinstance(done, spaces.Discrete):
        raise ConfigError(f"actions of {name} must be a few to choose from, got {done}")
    if game.spec.max_episode_steps is None:
        raise ConfigError(f"data.limit must be given, for nothing else ends episodes of {name}")
    return game


def play(
    model: "MemoryPolicy",
    environment: Environment,
    seeds: Sequence[int],
    *,
    sample: bool,
    most: int | None = None,
) -> Played:
    """Play an episode for each seed.

    Args:
        model: Decides.
        environment: Where.
        seeds: Of the environment's own random numbers.
        sample: Draw actions from their shares, by torch's random numbers? Else the likeliest one.
        most: Steps of each episode that are played; `None` means to its end.
    """
    import torch

    games = [made(environment.name, environment.limit) for _ in seeds]
    if games:
        environment.check_game(games[0])
    count, memory, device = len(games), model.memory, model.age.device
    first = [game.reset(seed=seed)[0] for game, seed in zip(games, seeds, strict=True)]
    seen = [environment.moments(first)]
    history = np.zeros((count, memory, environment.inputs), np.float32)
    actions, rewards = list[NDArray[np.int64]](), list[Floats]()
    lengths, terminated = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    playing = list(range(count))
    while playing and len(actions) != most:
        history[:, 1:] = history[:, :-1]
        history[:, 0] = seen[-1]
        known = torch.full((len(playing),), min(len(seen), memory), device=device)
        with torch.inference_mode():
            logits, _ = model(torch.from_numpy(history[playing]).to(device), known)
            chosen = (_drawn(logits) if sample else logits.argmax(-1)).tolist()
        moves = zip(playing, chosen, strict=True)
        found = [games[row].step(environment.start + action) for row, action in moves]
        observations, gained, over, cut, _ = zip(*found, strict=True)
        seen.append(_among(environment.moments(observations, chosen), playing, count))
        actions.append(_among(np.array(chosen, np.int64), playing, count))
        rewards.append(_among(np.array(gained, np.float32), playing, count))
        lengths[playing], terminated[playing] = len(actions), over
        playing = [row for row, *ends in zip(playing, over, cut, strict=True) if not any(ends)]
    for game in games:
        game.close()
    before = [np.zeros_like(seen[0])] * (memory - 1)
    return Played(
        moments=np.stack(before + seen, axis=1),
        actions=np.stack(actions, axis=1),
        rewards=np.stack(rewards, axis=1),
        lengths=lengths,
        terminated=terminated,
        memory=memory,
    )


def _among(values: NDArray[Any], rows: list[int], count: int) -> NDArray[Any]:
    """Values of these rows, among zeros for the other ones."""
    found = np.zeros((count, *values.shape[1:]), values.dtype)
    found[rows] = values
    return found


def _drawn(logits: "Tensor") -> "Tensor":
    """Actions drawn from their shares; where those are no numbers, the loss will say so."""
    import torch

    return (logits.softmax(-1) / torch.empty_like(logits).exponential_()).argmax(-1)
