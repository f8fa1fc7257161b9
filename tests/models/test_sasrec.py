"""SASRec: what each place may see, what the loss counts, and what is left without attention."""

import re

import pytest
import torch
from torch.nn.functional import log_softmax

from heedful.errors import ConfigError
from heedful.models.sasrec import RunningMean, Sasrec
from heedful.nn.attention import Attention

ITEMS, WIDTH, LENGTH = 7, 8, 6


def network(**settings):
    torch.manual_seed(0)
    made = Sasrec(
        items=ITEMS, **{"width": WIDTH, "heads": 2, "feedforward": 12, "max_length": 9} | settings
    )
    torch.nn.init.normal_(made.bias)
    return made.eval()


def histories(rows=3):
    drawn = torch.Generator().manual_seed(1)
    return torch.randint(1, ITEMS + 2, (rows, LENGTH), generator=drawn)


KINDS = [
    {"positions": "learned"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"attention": False},
]


@pytest.mark.parametrize("settings", KINDS)
def test_no_place_sees_what_comes_after_it(settings):
    made, items, lengths = network(**settings), histories(), torch.full((3,), LENGTH)
    changed = items.clone()
    changed[:, 4] = changed[:, 4] % ITEMS + 2
    before, after = made.states(items, lengths), made.states(changed, lengths)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


@pytest.mark.parametrize("settings", KINDS)
def test_padding_cannot_matter(settings):
    made, items, lengths = network(**settings), histories(), torch.tensor([6, 4, 1])
    inside = torch.arange(LENGTH) < lengths[:, None]
    together = made(items * inside, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = made(items[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row], alone[0])


@pytest.mark.parametrize("settings", KINDS)
def test_the_loss_is_that_of_each_place_with_a_truth(settings):
    made, items, lengths = network(**settings).double(), histories(2), torch.tensor([6, 3])
    targets = torch.full((2, LENGTH), -100)
    targets[0, 1], targets[0, 5], targets[1, 2] = 4, 0, 6
    total, count = made.loss(items, lengths, targets)
    want = 0.0
    for row, place, right in ((0, 1, 4), (0, 5, 0), (1, 2, 6)):
        logits = made(items[row : row + 1, : place + 1], torch.tensor([place + 1]))[0]
        want -= log_softmax(logits, -1)[right].item()
    assert count == 3
    assert total.item() == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("settings", KINDS)
def test_without_an_order_all_that_stands_behind_is_right_and_nothing_before_can_be(settings):
    made, lengths = network(**settings).double(), torch.tensor([5, 3])
    texts = [[2, 5, 1, 8, 3, 7], [4, 6, 2, 3]]  # 1 is an item that nobody knows
    items, targets = torch.zeros(2, LENGTH).long(), torch.full((2, LENGTH), -100)
    want, many = 0.0, 0
    for row, text in enumerate(texts):
        items[row, : len(text) - 1] = torch.tensor(text[:-1])
        for place in range(len(text) - 1):
            if text[place + 1] == 1:
                continue
            targets[row, place] = text[place + 1] - 2
            logits = made(items[row : row + 1, : place + 1], torch.tensor([place + 1]))[0]
            for had in text[: place + 1]:
                if had != 1:
                    logits[had - 2] = -torch.inf
            behind = [item - 2 for item in text[place + 1 :] if item != 1]
            want -= log_softmax(logits, -1)[behind].mean().item()
            many += 1
    total, count = made.loss(items, lengths, targets, ordered=False)
    assert (count, many) == (7, 7)
    assert total.item() == pytest.approx(want, rel=1e-5)
    total.backward()
    assert all(part.grad.isfinite().all() for part in made.parameters() if part.grad is not None)


def test_logits_are_products_with_the_items():
    made, items, lengths = network(), histories(1), torch.tensor([LENGTH])
    state = made.states(items, lengths)[0, -1]
    want = [state @ made.embedding.weight[item + 2] + made.bias[item] for item in range(ITEMS)]
    torch.testing.assert_close(made(items, lengths)[0], torch.stack(want))


def test_a_running_mean_is_the_mean_of_what_was_before():
    made, x = RunningMean(WIDTH).double(), torch.randn(2, 5, WIDTH).double()
    for place in range(5):
        want = made.out(x[:, : place + 1].mean(1))
        torch.testing.assert_close(made(x)[:, place], want)


def test_without_attention_there_is_none():
    assert not [part for part in network(attention=False).modules() if isinstance(part, Attention)]
    assert len([part for part in network().modules() if isinstance(part, Attention)]) == 2


def test_only_learned_positions_and_the_mask_know_the_order():
    items, lengths = histories(), torch.full((3,), LENGTH)
    swapped = items[:, [1, 0, 2, 3, 4, 5]]
    made = network(positions="none", layers=1)
    torch.testing.assert_close(made(items, lengths), made(swapped, lengths))
    for positions in ("learned", "rotary"):
        made = network(positions=positions, layers=1)
        assert not torch.allclose(made(items, lengths), made(swapped, lengths))


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="positions must be one of learned, rotary, none"):
        network(positions="absolute")
    with pytest.raises(ConfigError, match=re.escape("heads")):
        network(heads=3)
