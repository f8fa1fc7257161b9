"""Proximal policy optimisation: a step plays episodes and learns a few times from all of them."""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from heedful.tasks.control.episodes import Environment, Played, play
from heedful.tasks.control.seeds import Decisions

if TYPE_CHECKING:
    from torch import Tensor

    from heedful.models.memory_policy import MemoryPolicy

PARTS = 8  # into which decisions are cut in each pass
SMALLEST, LARGEST = 64, 1_024  # decisions in one of them
EPSILON = 1e-5  # of Adam; gradients are small once all goes well
VALUE = 0.1  # weight of the critic's loss


class Settings(Protocol):
    """What is read of a config's `train`."""

    @property
    def passes(self) -> int: ...
    @property
    def discount(self) -> float: ...
    @property
    def trace(self) -> float: ...
    @property
    def clip_ratio(self) -> float: ...
    @property
    def entropy(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


class PPO:
    """Let a policy play, and make likelier what went better than its critic expected.

    It draws from torch's random numbers alone.

    Args:
        model: Learns.
        environment: Where it plays.
        settings: See the task's config.

    Source:
        Schulman et al. 2017, arXiv:1707.06347, equations 7 (clipped ratios) and 9 (all losses).
        Schulman et al. 2015, arXiv:1506.02438, equation 16 (advantages).
    """

    def __init__(self, model: "MemoryPolicy", environment: Environment, settings: Settings) -> None:
        import torch

        self.model, self.environment, self.settings = model, environment, settings
        decay = settings.weight_decay
        optimizer = torch.optim.AdamW(model.parameters(), eps=EPSILON, weight_decay=decay)
        self.optimizers = {"policy": optimizer}

    def step(self, batch: Decisions, rate: float) -> dict[str, float]:
        """Play an episode for each seed, and learn from all of them."""
        import torch

        played = play(self.model, self.environment, batch.seeds, sample=True)
        for group in self.optimizers["policy"].param_groups:
            group["lr"] = rate
        decisions = self._decisions(played)
        count = len(decisions[0])
        size = min(max(-(-count // PARTS), SMALLEST), LARGEST)
        told: list[Tensor] = []
        for _ in range(self.settings.passes):
            for rows in torch.randperm(count).split(size):
                told.append(self._learn(*(each[rows] for each in decisions)))
        loss, entropy = torch.stack(told).mean(0).tolist()
        returns = float(played.rewards.sum(1).mean())
        return {"loss": loss, "return": returns, "entropy": entropy, "steps": float(count)}

    def _decisions(self, played: Played) -> "tuple[Tensor, ...]":
        """Histories, their lengths, actions, log-probabilities, advantages, returns: a row each."""
        import torch

        device = self.model.age.device
        episodes, steps = played.decisions()
        history, lengths = (each.to(device) for each in played.histories(episodes, steps))
        actions = torch.from_numpy(played.actions[episodes, steps]).to(device)
        with torch.no_grad():
            logits, values = self.model(history, lengths)
            last = self.model(*(x.to(device) for x in played.last()))[1].cpu().numpy()
        expected = np.zeros(played.rewards.shape)
        expected[episodes, steps] = values.cpu().numpy()
        gains = advantages(
            played, expected, last, discount=self.settings.discount, trace=self.settings.trace
        )
        gain = torch.from_numpy(gains[episodes, steps]).float().to(device)
        chosen = logits.log_softmax(-1).gather(1, actions[:, None])[:, 0]
        scaled = (gain - gain.mean()) / (gain.std(correction=0) + 1e-8)
        return history, lengths, actions, chosen, scaled, gain + values

    def _learn(
        self,
        history: "Tensor",
        lengths: "Tensor",
        actions: "Tensor",
        before: "Tensor",
        gain: "Tensor",
        returns: "Tensor",
    ) -> "Tensor":
        """Take one step of the optimizer; return the loss and the entropy."""
        import torch

        logits, values = self.model(history, lengths)
        logs = logits.log_softmax(-1)
        now = logs.gather(1, actions[:, None])[:, 0]
        actor = clipped_loss(now, before, gain, clip_ratio=self.settings.clip_ratio)
        # as large as the actor's, however large rewards are
        critic = (values - returns).square().mean() / (returns.var(correction=0) + 1)
        entropy = -(logs.exp() * logs).sum(-1).mean()
        loss = actor + VALUE * critic - self.settings.entropy * entropy
        optimizer = self.optimizers["policy"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        optimizer.step()
        return torch.stack([loss.detach(), entropy.detach()])


def clipped_loss(now: "Tensor", before: "Tensor", gain: "Tensor", *, clip_ratio: float) -> "Tensor":
    """Return the actor's loss: an action counts until its share has changed enough.

    `-mean(min(ratio * gain, clip(ratio) * gain))` with `ratio = exp(now - before)`.

    Args:
        now: Log-probabilities of the actions that were chosen.
        before: The same, when they were chosen.
        gain: How much better they went than was expected.
        clip_ratio: Largest change of a share that counts.
    """
    import torch

    ratio = (now - before).exp()
    clipped = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    return -torch.minimum(ratio * gain, clipped * gain).mean()


def advantages(
    played: Played,
    values: NDArray[np.float64],
    last: NDArray[np.float64],
    *,
    discount: float,
    trace: float,
) -> NDArray[np.float64]:
    """Return how much better each decision went than the critic expected.

    `A_t = d_t + discount * trace * A_(t+1)` with `d_t = r_t + discount * v_(t+1) - v_t`; behind
    the last step `v` is 0 where an episode ended by itself, and `last` where it was cut off.

    Args:
        played: Episodes.
        values: What the critic expects at each step, `(episodes, steps)`.
        last: What it expects behind the last step of each episode.
        discount: Weight of a reward one step later.
        trace: Weight of what is expected one step later; 1 trusts rewards alone.
    """
    episodes, steps = played.rewards.shape
    found = np.zeros((episodes, steps))
    ahead, gain = np.where(played.terminated, 0.0, last), np.zeros(episodes)
    for step in reversed(range(steps)):
        going = step < played.lengths
        gain_here = played.rewards[:, step] + discount * (ahead + trace * gain) - values[:, step]
        gain, ahead = np.where(going, gain_here, gain), np.where(going, values[:, step], ahead)
        found[:, step] = np.where(going, gain, 0.0)
    return found
