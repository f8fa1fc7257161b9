"""Log-odds are those of the probabilities, and have no ceiling."""

import math

import pytest
import torch

from heedful.explaining.scores import label_odds, log_odds, words_odds, written_odds


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("alternatives", [2, 5])
def test_they_are_those_of_the_softmax(alternatives):
    logits, truth = draw(3, 4, alternatives), torch.arange(12).view(3, 4) % alternatives
    share = logits.softmax(-1).gather(-1, truth[..., None])[..., 0]
    torch.testing.assert_close(log_odds(logits, truth).double(), (share / (1 - share)).log())


def test_they_grow_where_probabilities_no_longer_can():
    logits = torch.tensor([[80.0, 0.0, 0.0], [90.0, 0.0, 0.0]])
    odds = log_odds(logits, torch.zeros(2, dtype=torch.long))
    assert logits.softmax(-1)[:, 0].tolist() == [1, 1]
    assert odds.tolist() == pytest.approx([80 - math.log(2), 90 - math.log(2)])
    assert log_odds(logits.bfloat16(), torch.zeros(2, dtype=torch.long)).dtype == torch.float32


def test_gradients_flow():
    logits = draw(2, 4).requires_grad_()
    log_odds(logits, torch.tensor([1, 3])).sum().backward()
    assert logits.grad[0, 1] == pytest.approx(1.0)
    assert logits.grad.sum(1).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_what_was_written_is_asked_token_by_token():
    table, tokens = draw(6, 6), [1, 4, 0, 5]

    def decode(before):
        assert before.tolist() == [[1, 4, 0]] * 2
        return table[before]

    odds = written_odds(decode, tokens, torch.zeros(2, 9))
    assert odds.shape == (2, 3)
    for place in range(3):
        expected = log_odds(table[tokens[place]], torch.tensor(tokens[place + 1]))
        assert odds[0, place] == odds[1, place] == expected


def test_a_word_is_all_of_its_tokens():
    odds = draw(3, 6)
    shares = odds.sigmoid()
    words = torch.stack([shares[:, :1].prod(1), shares[:, 1:4].prod(1), shares[:, 4:].prod(1)], 1)
    found = words_odds(odds, [1, 3, 2])
    torch.testing.assert_close(found, (words / (1 - words)).log())
    torch.testing.assert_close(found[:, 0], odds[:, 0])


def test_words_have_no_ceiling_either():
    found = words_odds(torch.tensor([[60.0, 60.0, -90.0, 3.0]]), [2, 2])
    assert found[0].tolist() == pytest.approx([60 - math.log(2), -90 - math.log1p(math.exp(-3))])


def test_one_label_is_a_column_of_log_odds():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    expected = log_odds(logits, torch.tensor([2, 2, 2, 2]))
    assert torch.equal(label_odds(logits, 2), expected[:, None])
