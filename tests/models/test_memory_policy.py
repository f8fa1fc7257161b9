"""The policy with a memory: what it may see, what it must see, and what each half of it says."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.models.memory_policy import MemoryPolicy

INPUTS, ACTIONS, MEMORY = 5, 3, 4


def policy(**settings):
    torch.manual_seed(0)
    made = MemoryPolicy(
        inputs=INPUTS, actions=ACTIONS, **{"memory": MEMORY, "width": 8, "heads": 2} | settings
    )
    torch.nn.init.normal_(made.actor.weight)
    return made


def history(rows=6):
    return torch.randn(rows, MEMORY, INPUTS, generator=torch.Generator().manual_seed(1))


def test_attention_is_what_its_rule_says():
    """Loops in float64 that share no code with the module."""
    made, seen, lengths = policy().double(), history(2).double(), [3, 1]
    attention = made.attention
    for row, length in enumerate(lengths):
        x = [made.embedding(moment) for moment in seen[row]]
        y = [made.norm(x[i] + made.age[i]) for i in range(length)]
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = [attention.query(y[0])[part] @ attention.key(z)[part] / 2 for z in y]
            weights = torch.stack(scores).exp()
            values = torch.stack([attention.value(z)[part] for z in y])
            heads.append(weights @ values / weights.sum())
        hidden = made.body(x[0] + attention.out(torch.cat(heads)))
        logits, value = made(seen[row : row + 1], torch.tensor([length]))
        torch.testing.assert_close(logits[0], made.actor(hidden))
        torch.testing.assert_close(value, made.critic(hidden))


def test_without_attention_all_moments_weigh_the_same():
    made, seen = policy(attention=False).double(), history(1).double()
    y = [made.norm(made.embedding(seen[0, i]) + made.age[i]) for i in range(3)]
    mean = made.value(torch.stack(y)).mean(0)
    logits, _ = made(seen, torch.tensor([3]))
    want = made.actor(made.body(made.embedding(seen[0, 0]) + mean))
    torch.testing.assert_close(logits[0], want)
    assert not [name for name, _ in made.named_modules() if "attention" in name]


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("moment", range(MEMORY))
def test_it_sees_its_memory_and_nothing_before_the_episode(attention, moment):
    made, seen, lengths = policy(attention=attention), history(), torch.full((6,), 3)
    before = made(seen, lengths)
    seen[:, moment] += 1.0
    after = made(seen, lengths)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other) == (moment >= 3)


@pytest.mark.parametrize("attention", [True, False])
def test_rows_do_not_see_each_other(attention):
    made, lengths = policy(attention=attention), torch.tensor([1, 2, 3, 4, 4, 1])
    logits, values = made(history(), lengths)
    for row in range(6):
        alone = made(history()[row : row + 1], lengths[row : row + 1])
        torch.testing.assert_close(alone[0][0], logits[row])
        torch.testing.assert_close(alone[1][0], values[row])


def test_all_actions_are_about_as_likely_at_first():
    made = MemoryPolicy(inputs=INPUTS, actions=ACTIONS)
    seen = torch.randn(9, made.memory, INPUTS)
    shares = made(seen, torch.full((9,), made.memory))[0].softmax(-1)
    torch.testing.assert_close(shares, torch.full((9, ACTIONS), 1 / ACTIONS), atol=0.05, rtol=0)


def test_rejects_what_does_not_fit():
    with pytest.raises(ConfigError, match="must be at least 1, got inputs=5, actions=3, memory=0"):
        policy(memory=0)
    with pytest.raises(ConfigError, match="heads must divide width"):
        policy(heads=3)
    message = re.escape("history must be (batch, memory=4, inputs=5), got shape (6, 3, 5)")
    with pytest.raises(ShapeError, match=message):
        policy()(history()[:, 1:], torch.full((6,), 3))
