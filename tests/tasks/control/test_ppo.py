"""Proximal policy optimisation: advantages against sums, and a memory that must be learned."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch

from heedful.models.memory_policy import MemoryPolicy
from heedful.tasks.control.episodes import Environment, Played, play
from heedful.tasks.control.ppo import PPO, advantages, clipped_loss
from heedful.tasks.control.seeds import Decisions

SETTINGS = SimpleNamespace(
    passes=4, discount=0.9, trace=0.8, clip_ratio=0.2, entropy=0.01, clip=0.5, weight_decay=0.0
)


class Recall(gymnasium.Env):
    """Says once what must be done two steps later."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.count = int(self.np_random.integers(2)), 0
        return np.array([2.0 * self.cue - 1, 0.0]), {}

    def step(self, action):
        self.count += 1
        over = self.count == 3
        reward = float(over and action == self.cue)
        return np.array([0.0, self.count / 3]), reward, over, False, {}


@pytest.fixture(scope="module", autouse=True)
def _recall():
    gymnasium.register("Recall-v0", entry_point=Recall, max_episode_steps=5)
    yield
    del gymnasium.registry["Recall-v0"]


def learner(memory, **settings):
    torch.manual_seed(0)
    environment = Environment.explore("Recall-v0", hide=[], limit=None, seeds=range(8))
    model = MemoryPolicy(inputs=environment.inputs, actions=2, memory=memory, width=8, heads=2)
    return PPO(model, environment, SimpleNamespace(**vars(SETTINGS) | settings))


def test_advantages_are_sums_of_surprises():
    random = np.random.default_rng(0)
    lengths, terminated = np.array([5, 2, 3]), np.array([True, False, False])
    going = np.arange(5) < lengths[:, None]
    rewards, values = (random.normal(size=(3, 5)) * going for _ in range(2))
    last = random.normal(size=3)
    played = Played(
        moments=np.zeros((3, 6, 1), np.float32),
        actions=np.zeros((3, 5), np.int64),
        rewards=rewards,
        lengths=lengths,
        terminated=terminated,
        memory=1,
    )
    found = advantages(played, values, last, discount=0.9, trace=0.8)
    for row, length in enumerate(lengths):
        v = [*values[row, :length], 0.0 if terminated[row] else last[row]]
        surprise = [rewards[row, t] + 0.9 * v[t + 1] - v[t] for t in range(length)]
        for t in range(5):
            want = sum((0.9 * 0.8) ** (k - t) * surprise[k] for k in range(t, length))
            assert found[row, t] == pytest.approx(want)


def test_actions_count_until_their_share_has_changed():
    shares = [(0.5, 0.25), (0.5, 0.45), (0.2, 0.5), (0.55, 0.5)]  # now and before
    for gain in (2.0, -3.0):
        now, before = torch.tensor(shares, dtype=torch.float64).T
        now = now.log().requires_grad_()
        loss = clipped_loss(now, before.log(), torch.full((4,), gain).double(), clip_ratio=0.2)
        terms = [min(a / b * gain, min(max(a / b, 0.8), 1.2) * gain) for a, b in shares]
        assert loss.item() == pytest.approx(-sum(terms) / 4)
        loss.backward()
        counts = [ratio < 1.2 if gain > 0 else ratio > 0.8 for ratio in (2, 10 / 9, 0.4, 1.1)]
        assert (now.grad != 0).tolist() == counts


def test_it_learns_to_remember_and_cannot_without_memory():
    # with a memory of 2 it learns too: the action before tells what the cue was
    for memory, least, most in [(3, 0.95, 1.0), (1, 0.3, 0.7)]:
        learned = learner(memory)
        for step in range(30):
            told = learned.step(Decisions([*range(64 * step, 64 * step + 64)]), 2e-2)
        assert {"loss", "return", "entropy", "steps"} == told.keys()
        assert told["steps"] == 3 * 64
        played = play(learned.model, learned.environment, range(9_000, 9_100), sample=False)
        assert least <= played.rewards.sum(1).mean() <= most


def test_the_same_random_numbers_give_the_same_bits():
    one, other = learner(3), learner(3)
    other.model.load_state_dict(one.model.state_dict())
    for learned in (one, other):
        for step in range(2):
            torch.manual_seed(step)
            learned.step(Decisions([4, 5, 6]), 1e-2)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name


def test_the_learning_rate_is_what_is_given():
    learned = learner(3)
    before = {name: tensor.clone() for name, tensor in learned.model.state_dict().items()}
    learned.step(Decisions([4, 5, 6]), 0.0)
    assert all(torch.equal(before[key], now) for key, now in learned.model.state_dict().items())


def test_weights_decay_as_they_are_told():
    weights = []
    for decay in (0.0, 10.0):
        learned = learner(3, weight_decay=decay)
        learned.step(Decisions([4, 5, 6]), 1e-2)
        weights.append(learned.model.embedding.weight.norm().item())
    assert weights[1] < 0.8 * weights[0]


def test_what_is_no_number_is_told_as_loss():
    learned = learner(3)
    torch.nn.init.constant_(learned.model.actor.weight, float("nan"))
    assert np.isnan(learned.step(Decisions([4, 5, 6]), 1e-2)["loss"])
