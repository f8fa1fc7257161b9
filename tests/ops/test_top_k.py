"""Top-k attention keeps the contract, and chooses the same keys every time."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.ops.top_k import top_k_attention, top_k_weights
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import normalisers


class TestTopK(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["top_k"]


class TestStraightThrough(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=top_k_attention,
            weights=top_k_weights,
            oracle=normalisers.top_k,
            settings={"kept": 2, "straight_through": True},
            exact_gradients=False,
        )


class TestMoreThanThereAre(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=top_k_attention,
            weights=top_k_weights,
            oracle=normalisers.top_k,
            settings={"kept": 99},
        )


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def weigh(*scores, kept, mask=None):
    """The weights of one query, whose score with each key is given."""
    key = torch.tensor(scores, dtype=torch.float64).view(1, 1, -1, 1)
    query = torch.ones_like(key[:, :, :1])
    return top_k_weights(query, key, kept=kept, mask=mask)[0, 0, 0].tolist()


def test_the_first_of_equal_scores_wins():
    assert weigh(1, 2, 2, 1, 2, kept=2) == [0, 0.5, 0.5, 0, 0]
    assert weigh(0, 0, 0, 0, kept=3) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert weigh(5, 7, 5, 5, kept=1) == [0, 1, 0, 0]


def test_hidden_keys_take_no_place():
    hidden = Mask.dense(torch.tensor([[False, True, False, True, True]]))
    assert weigh(9, 1, 9, 2, 2, kept=2, mask=hidden) == [0, 0, 0, 0.5, 0.5]
    assert weigh(9, 1, 9, 1, 1, kept=4, mask=hidden) == pytest.approx([0, 1 / 3, 0, 1 / 3, 1 / 3])


@pytest.mark.parametrize("kept", [7, 8])
@pytest.mark.parametrize("straight_through", [False, True])
def test_all_keys_are_plain_attention(kept, straight_through):
    query, key, mask = draw(2, 4, 5, 3), draw(2, 2, 7, 3), Mask.causal()
    actual = top_k_weights(query, key, kept=kept, straight_through=straight_through, mask=mask)
    assert torch.equal(actual, scaled_dot_weights(query, key, mask=mask))


def test_straight_through_changes_no_bit_of_the_output():
    tensors = draw(2, 4, 5, 3), draw(2, 2, 7, 3), draw(2, 2, 7, 6)
    want = top_k_attention(*tensors, kept=2)
    assert torch.equal(top_k_attention(*tensors, kept=2, straight_through=True), want)


def test_straight_through_has_the_gradient_of_all_keys():
    query, key, weight = draw(2, 4, 5, 3), draw(2, 2, 7, 3), draw(2, 4, 5, 7)
    key.requires_grad_()
    mask = Mask.lengths(torch.tensor([0, 6]))

    def gradient(weights):
        return torch.autograd.grad((weights * weight).sum(), key)[0]

    dense = gradient(scaled_dot_weights(query, key, mask=mask))
    through = gradient(top_k_weights(query, key, kept=2, straight_through=True, mask=mask))
    assert torch.equal(through, dense)
    plain = gradient(top_k_weights(query, key, kept=2, mask=mask))
    assert not torch.allclose(plain, dense)


def test_rejects_keeping_nothing():
    x = draw(2, 4, 5, 3)
    with pytest.raises(ConfigError, match="kept must be at least 1, got 0"):
        top_k_weights(x, x, kept=0)
    with pytest.raises(ConfigError, match="kept must be at least 1, got -2"):
        top_k_attention(x, x, x, kept=-2)
