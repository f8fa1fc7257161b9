"""Episodes: what is played is what gymnasium plays, and what a policy sees of it."""

import re
import sys
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, DataError, MissingExtraError
from heedful.models.memory_policy import MemoryPolicy
from heedful.tasks.control.episodes import Environment, made, play

SEEDS = [11, 12, 13, 14]
MEMORY = 4


class Endless(gymnasium.Env):
    """Shows how often it was asked; the first action has the number 5; nothing ends it."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2, start=5)

    def reset(self, *, seed=None, options=None):
        self.count = 0.0
        return np.array([0.0]), {}

    def step(self, action):
        assert action in (5, 6)
        self.count += 1
        return np.array([self.count]), float(action), False, False, {}


def broken(**settings):
    raise ModuleNotFoundError("no\nengine")


@pytest.fixture(scope="module", autouse=True)
def _endless():
    gymnasium.register("Endless-v0", entry_point=Endless)
    gymnasium.register("Broken-v0", entry_point=broken)
    yield
    del gymnasium.registry["Endless-v0"], gymnasium.registry["Broken-v0"]


@pytest.fixture(scope="module")
def cart():
    return Environment.explore("CartPole-v1", hide=[1, 3], limit=None, seeds=range(50, 60))


def policy(environment, **settings):
    torch.manual_seed(3)
    sizes = {"inputs": environment.inputs, "actions": environment.actions}
    made = MemoryPolicy(**sizes, **{"memory": MEMORY, "width": 8, "heads": 2} | settings)
    torch.nn.init.normal_(made.actor.weight)
    return made.eval()


def drawn(cart, seeds, seed=0):
    model = policy(cart)
    torch.manual_seed(seed)
    return play(model, cart, seeds, sample=True)


def test_what_is_played_is_what_gymnasium_plays(cart):
    played = drawn(cart, SEEDS)
    assert len(set(played.lengths.tolist())) > 1
    for row, seed in enumerate(SEEDS):
        game = gymnasium.make("CartPole-v1")
        seen = [(game.reset(seed=seed)[0], None)]
        for step in range(played.lengths[row]):
            action = int(played.actions[row, step])
            observation, reward, over, cut, _ = game.step(action)
            seen.append((observation, action))
            assert played.rewards[row, step] == reward
        assert over or cut
        assert played.terminated[row] == over
        assert played.rewards[row].sum() == played.lengths[row]
        for step in [0, 1, 5, len(seen) - 1]:
            want = np.zeros((MEMORY, 4))
            for age in range(min(step + 1, MEMORY)):
                observation, action = seen[step - age]
                for place, number in enumerate((0, 2)):
                    scale = cart.mean[place], cart.std[place]
                    want[age, place] = (observation[number] - scale[0]) / scale[1]
                if action is not None:
                    want[age, 2 + action] = 1
            history, length = played.histories(np.array([row]), np.array([step]))
            np.testing.assert_allclose(history[0].numpy(), want, rtol=1e-5, atol=1e-6)
            assert length.tolist() == [min(step + 1, MEMORY)]
        np.testing.assert_array_equal(played.last()[0][row], history[0])


def test_a_policy_is_asked_about_what_is_remembered(cart):
    model, asked = policy(cart), []
    model.register_forward_hook(lambda _, inputs, __: asked.append(inputs))
    played = play(model, cart, SEEDS, sample=True)
    for step, (history, lengths) in enumerate(asked):
        playing = np.flatnonzero(step < played.lengths)
        want = played.histories(playing, np.full(len(playing), step))
        assert torch.equal(history, want[0])
        assert torch.equal(lengths, want[1])


def test_decisions_are_the_steps_of_each_episode(cart):
    played = drawn(cart, SEEDS)
    episodes, steps = played.decisions()
    want = [(row, step) for row in range(4) for step in range(played.lengths[row])]
    assert list(zip(episodes.tolist(), steps.tolist(), strict=True)) == want


def test_seeds_and_torch_decide_alone(cart):
    def same(one, other):
        return one.actions.shape == other.actions.shape and (one.actions == other.actions).all()

    played = drawn(cart, SEEDS)
    assert same(drawn(cart, SEEDS), played)
    assert not same(drawn(cart, SEEDS, seed=1), played)
    assert not same(drawn(cart, [5, 6, 7, 8]), played)
    model = policy(cart)
    together = play(model, cart, SEEDS, sample=False)
    for row, seed in enumerate(SEEDS):  # the likeliest action needs no random number and no company
        alone = play(model, cart, [seed], sample=False)
        np.testing.assert_array_equal(alone.actions[0], together.actions[row, : alone.lengths[0]])


def test_scales_are_those_of_the_first_episodes(cart):
    game, seen = gymnasium.make("CartPole-v1"), []
    for seed in range(50, 60):
        random, over = np.random.default_rng(seed), False
        seen.append(game.reset(seed=seed)[0])
        while not over:
            observation, _, over, _, _ = game.step(int(random.integers(2)))
            seen.append(observation)
    np.testing.assert_allclose(cart.mean, np.array(seen, float)[:, [0, 2]].mean(0))
    np.testing.assert_allclose(cart.std, np.array(seen, float)[:, [0, 2]].std(0))
    assert (cart.actions, cart.start, cart.inputs) == (2, 0, 4)


def test_a_limit_ends_what_does_not_end():
    endless = Environment.explore("Endless-v0", hide=[], limit=7, seeds=[1])
    assert (endless.start, endless.limit) == (5, 7)
    played = play(policy(endless), endless, [1, 2], sample=True)
    assert played.lengths.tolist() == [7, 7]
    assert not played.terminated.any()
    np.testing.assert_array_equal(played.rewards, 5 + played.actions)


@pytest.mark.parametrize(
    "name, message",
    [
        ("Nope-v0", "data.environment must be one that gymnasium can make, got 'Nope-v0': "),
        ("Broken-v0", "one that gymnasium can make, got 'Broken-v0': no engine"),
        ("os:Cart-v0", "data.environment must be registered with gymnasium, got 'os:Cart-v0'"),
        ("Taxi-v4", "observations of Taxi-v4 must be vectors, got Discrete(500)"),
        ("Pendulum-v1", "actions of Pendulum-v1 must be a few to choose from, got Box("),
        ("Endless-v0", "data.limit must be given, for nothing else ends episodes of Endless-v0"),
    ],
)
def test_rejects_what_it_cannot_play(name, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(name)


@pytest.mark.parametrize("hide", [[4], [-1], [0, 1, 2, 3]])
def test_rejects_what_cannot_be_hidden(hide):
    message = f"data.hide must leave some of the numbers 0 to 3 that CartPole-v1 shows, got {hide}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        Environment.explore("CartPole-v1", hide=hide, limit=None, seeds=[1])


def test_says_which_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'heedful[control]'")):
        made("CartPole-v1")


def test_rejects_observations_that_are_no_numbers(cart):
    message = "observations of CartPole-v1 must be numbers, got [[1.0, 2.0, nan, 3.0]]"
    with pytest.raises(DataError, match=re.escape(message)):
        cart.moments([[1.0, 2.0, float("nan"), 3.0]])


@pytest.mark.parametrize("change", [{"start": 1}, {"hide": (1, 3, 2)}])
def test_rejects_a_game_that_is_not_what_was_learned_with(cart, change):
    explored = Environment.explore("CartPole-v1", hide=(1, 3), limit=9, seeds=[1])
    policy = MemoryPolicy(inputs=4, actions=2, width=8, heads=2, memory=2, attention=True)
    assert play(policy, explored, [1], sample=False, most=1).lengths.tolist() == [1]
    with pytest.raises(ConfigError, match=r"first action .* that were learned with, got"):
        play(policy, replace(explored, **change), [1], sample=False, most=1)
