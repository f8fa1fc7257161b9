"""Episodes as examples, and decisions that one policy met, put to others."""

import numpy as np
import pytest
import torch

from heedful.models.memory_policy import MemoryPolicy
from heedful.tasks.control.episodes import Environment, play
from heedful.tasks.control.seeds import Replay, Seeds


@pytest.fixture(scope="module")
def cart():
    return Environment.explore("CartPole-v1", hide=[1, 3], limit=30, seeds=range(50, 60))


def policy(seed):
    torch.manual_seed(seed)
    made = MemoryPolicy(inputs=4, actions=2, memory=3, width=8, heads=2)
    torch.nn.init.normal_(made.actor.weight)
    return made.eval()


def test_a_batch_is_its_seeds():
    data = Seeds((7, 8, 9))
    assert data.batch([2, 0], "cpu").seeds == [9, 7]
    assert len(data) == len(data.sizes) == len(data.amounts) == 3
    assert data.fingerprint() != Seeds((7, 9, 8)).fingerprint()


def test_the_first_policy_plays_and_others_are_asked_about_the_same(cart, monkeypatch):
    monkeypatch.setattr("heedful.tasks.control.seeds.IMITATED", 5)
    one, other = policy(1), policy(2)
    batch = Seeds((1, 2)).batch([0, 1], "cpu")
    played = play(one, cart, [1, 2], sample=False, most=5)
    assert played.lengths.tolist() == [5, 5]
    episodes, steps = played.decisions()
    history, lengths = played.histories(episodes, steps)
    for model in (one, other, one):
        with torch.inference_mode(model is one):
            said = batch.rows(model, cart)
        torch.testing.assert_close(said.outputs, model(history, lengths)[0])
        np.testing.assert_array_equal(said.example, episodes)
        assert (said.truth, said.kind) == (None, "logits")
        assert said.outputs.requires_grad == (model is other)  # so that optimize can learn from it


def test_every_policy_does_the_same_work(cart):
    played = play(policy(1), cart, [1, 2], sample=False)
    seen = []
    other = policy(2)
    other.register_forward_hook(lambda _, inputs, __: seen.append(inputs))
    Replay(played, torch.device("cpu"))(other)
    assert len(seen) == played.lengths.max()
    assert sum(len(history) for history, _ in seen) == played.lengths.sum()
    for step, (history, lengths) in enumerate(seen):
        playing = np.flatnonzero(played.lengths > step)
        want = played.histories(playing, np.full(len(playing), step))
        assert torch.equal(history, want[0])
        assert torch.equal(lengths, want[1])
