"""Control: what to do next in an environment of gymnasium, by a policy with a memory."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field

from heedful.config.base import Count, Fraction, Length, Numbers, Rate, Section, TaskConfig, Width
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Powers
from heedful.data.alignment import Alignment
from heedful.data.examples import Splits
from heedful.errors import DataError
from heedful.files import read_whole, write_json
from heedful.metrics.metric import Floats, SumMetric, per_example
from heedful.tasks.base import Rows, Task, device_of
from heedful.tasks.control.episodes import Environment, made, play
from heedful.tasks.control.seeds import Decisions, Episode, PlayedEpisode, Replay, Seeds
from heedful.texts import parse_json_as

if TYPE_CHECKING:
    from torch import nn

    from heedful.explaining.question import Question
    from heedful.models.memory_policy import MemoryPolicy
    from heedful.tasks.control.ppo import PPO

LARGEST = 1 << 24  # bytes of what is known of an environment
TOGETHER = 128  # episodes played side by side
FROM_ZERO = ("CartPole-v1",)  # environments with returns from 0 to 500


class Data(Section):
    """An environment of gymnasium: vectors are seen, and one of a few actions is chosen."""

    environment: str = "CartPole-v1"
    hide: Numbers = (1, 3)  # numbers of an observation that are not seen: the velocities
    limit: Length | None = None  # steps of an episode; None: as the environment says
    train: Length = 10_000  # episodes, each with a seed of its own
    dev: Length = 100
    test: Length = 100


class Model(Section):
    """`heedful.models.memory_policy.MemoryPolicy`."""

    width: Annotated[Width, Fractions()] = 32
    heads: Annotated[Width, Powers(divide="width")] = 4
    memory: Length = 8  # moments that are seen, the present one included; 1: no memory
    attention: Annotated[bool, Choices()] = True  # over the memory; false: its mean


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    order = ("steps", "epochs", "minutes", "batch_size", "learning_rate", "warmup", "clip")
    batch_size: Count = 16  # episodes that are played before the policy changes
    learning_rate: Rate = 2e-3
    warmup: Fraction = 0.0
    clip: Annotated[float, Field(ge=1e-9, le=1e9)] = 0.5
    weight_decay: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    passes: Count = 4  # over the decisions that were played
    discount: Annotated[float, Field(ge=0, le=1)] = 0.99  # of a reward one step later
    trace: Annotated[float, Field(ge=0, le=1)] = 0.95  # lambda of generalised advantages
    clip_ratio: Annotated[float, Field(gt=0, le=1)] = 0.2  # largest change of an action's share
    entropy: Annotated[float, Field(ge=0, le=1_000)] = 0.01  # weight of trying other actions


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["control"] = "control"
    data: Data = Data()
    model: Model = Model()
    train: Train = Train(minutes=3.0)


def _totals(answers: Sequence[PlayedEpisode], examples: Sequence[Any]) -> Floats:
    return per_example([answer.total for answer in answers])


# 500 is as much as any episode of the classic environments can lose
RETURN = SumMetric(name="return", of=_totals, span=500.0)


class Control(Task[Episode, PlayedEpisode]):
    """What to do next in an environment, by a policy that attends to its last moments.

    Args:
        config: Of the training.
        environment: As it is seen.
    """

    config_class = Config
    example_class = Episode
    metrics = (RETURN,)
    files = ("task/environment.json",)
    monitor = "return"
    unit = "episodes"

    def __init__(self, config: Config, environment: Environment) -> None:
        super().__init__(config)
        self.environment = environment
        if environment.name in FROM_ZERO and environment.limit is None:
            self.metrics = (replace(RETURN, floor=0.0),)  # pyright: ignore[reportAttributeAccessIssue]

    @classmethod
    def read(cls, config: Config) -> Splits[Episode]:
        """Count seeds from 0: those of test, then of dev, then of training, in every training."""
        made(config.data.environment, config.data.limit).close()
        sizes = (config.data.test, config.data.dev, config.data.train)
        starts = np.cumsum([0, *sizes]).tolist()
        test, dev, train = (
            [Episode(seed) for seed in range(start, start + size)]
            for start, size in zip(starts, sizes, strict=False)
        )
        return Splits(train, dev, test)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the sizes of the model."""
        width, heads = config.model.width, config.model.heads
        if width % heads:
            return f"model.heads must divide model.width, got {heads} and {width}"
        return None

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Episode]) -> Self:
        """Learn what observations look like."""
        data = config.data
        seeds = [example.seed for example in examples]
        settings: dict[str, Any] = {"hide": data.hide, "limit": data.limit, "seeds": seeds}
        return cls(config, Environment.explore(data.environment, **settings))

    def save(self, folder: Path) -> None:
        """Write what observations look like."""
        write_json(folder / self.files[0], asdict(self.environment))

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read what observations look like."""
        path = folder / cls.files[0]
        environment = parse_json_as(Environment, read_whole(path, most=LARGEST), path)
        data = config.data
        environment.check(path, data.environment, hide=data.hide, limit=data.limit)
        return cls(config, environment)

    def encode(self, examples: Sequence[Episode], *, training: bool = False) -> Seeds:
        """Take the seeds."""
        return Seeds(tuple(example.seed for example in examples))

    def build(self) -> "MemoryPolicy":
        """Make the network that the config describes."""
        from heedful.models.memory_policy import MemoryPolicy

        sizes = {"inputs": self.environment.inputs, "actions": self.environment.actions}
        return MemoryPolicy(**sizes, **self.config.model.model_dump())

    def learner(self, model: Any) -> "PPO":
        """Return what plays and learns."""
        from heedful.tasks.control.ppo import PPO

        return PPO(model, self.environment, self.config.train)

    def scores(self, model: Any, dev: Any) -> dict[str, float]:
        """Return the mean return of the dev split."""
        answers = self.answer(model, dev)
        return {"return": RETURN.score(RETURN.statistics(answers, answers))}

    def answer(self, model: Any, data: Any) -> list[PlayedEpisode]:
        """Play each episode, always with the likeliest action."""
        found: list[PlayedEpisode] = []
        for start in range(0, len(data), TOGETHER):
            seeds = data.seeds[start : start + TOGETHER]
            played = play(model, self.environment, seeds, sample=False)
            totals, lengths = played.rewards.sum(1).tolist(), played.lengths.tolist()
            for row, seed in enumerate(seeds):
                done = tuple(played.actions[row, : lengths[row]].tolist())
                found.append(PlayedEpisode(seed=seed, total=totals[row], actions=done))
        return found

    def parse(self, text: str) -> Episode:
        """Take the seed of an episode."""
        seed = text.strip()
        digits = seed.isascii() and seed.isdigit() and len(seed) < 20
        if not (digits and int(seed) < 2**63):
            raise DataError(
                f"an episode must be a seed, a whole number below 2^63, got {text!r:.80}"
            )
        return Episode(int(seed))

    def show(self, answer: PlayedEpisode) -> str:
        """Say what came of an episode."""
        steps = len(answer.actions)
        return f"return {answer.total:g} in {steps} step{'s' if steps > 1 else ''}"

    def to_json(self, example: Episode, answer: PlayedEpisode) -> dict[str, Any]:
        """Return what came of an episode, and what was done."""
        steps = len(answer.actions)
        return {
            "seed": answer.seed,
            "return": answer.total,
            "steps": steps,
            "actions": [*answer.actions],
        }

    def picture(self, model: Any, example: Episode, answer: PlayedEpisode) -> Alignment | None:
        """Return where each head looked when the last action was chosen."""
        import torch

        from heedful.probing.probe import probe

        played = play(model, self.environment, [answer.seed], sample=False)
        last = played.histories(np.array([0]), played.lengths - 1)
        with torch.inference_mode(), probe(model) as found:
            model(*(each.to(model.age.device) for each in last))
        if not found.sites:  # without attention
            return None
        known = int(last[1])
        weights = found.maps(found.sites[0])[0, :, 0, :known].tolist()
        return Alignment(
            source=("now", *(f"-{age}" for age in range(1, known))),
            target=tuple(f"head{head}" for head in range(1, len(weights) + 1)),
            weights=tuple(map(tuple, weights)),
            title=f"last of {len(answer.actions)} steps, seed {answer.seed}",
        )

    def question(self, model: Any, example: Episode, answer: PlayedEpisode) -> "Question":
        """Ask which moments speak for the last action."""
        from heedful.tasks.control.question import why_done

        return why_done(self, model, answer)

    def rows(self, model: Any, batch: Decisions) -> Rows:
        """Return the logits of the actions, in episodes that the first model asked has played."""
        return batch.rows(model, self.environment)

    def work(self, model: Any, data: Any) -> "Callable[[nn.Module], object]":
        """Return a function that lets any model decide, step by step, what this one decides."""
        played = play(model, self.environment, data.seeds, sample=False)
        return Replay(played, device_of(model))
