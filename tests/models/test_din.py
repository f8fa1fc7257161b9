"""DIN: every item looks at the history for itself, and the loss is that of all that was offered."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models import din
from heedful.models.din import Din
from heedful.nn.attention import Attention

ITEMS, WIDTH, LENGTH = 7, 8, 5
BOTH = pytest.mark.parametrize("attention", [True, False])


def network(**settings):
    torch.manual_seed(0)
    made = Din(items=ITEMS, **{"width": WIDTH, "heads": 2, "hidden": 12} | settings)
    torch.nn.init.normal_(made.bias.weight)
    return made.eval()


def histories(rows=3):
    drawn = torch.Generator().manual_seed(1)
    return torch.randint(1, ITEMS + 2, (rows, LENGTH), generator=drawn)


def test_a_click_is_what_its_rule_says():
    """Loops in float64 that share no code with the module."""
    made, items = network().double(), histories(1)
    attention = made.attention
    history = [made.norm(made.embedding(item)) for item in items[0, :4]]
    found = made(items, torch.tensor([4]))[0]
    for item in range(ITEMS):
        offered = made.norm(made.embedding.weight[item + 2])
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            query = attention.query(offered)[part]
            scores = torch.stack([query @ attention.key(each)[part] / 2 for each in history])
            values = torch.stack([attention.value(each)[part] for each in history])
            heads.append(scores.exp() @ values / scores.exp().sum())
        seen = attention.out(torch.cat(heads))
        hidden = made.inner(torch.cat([seen, offered, seen * offered])).clamp(min=0)
        want = made.outer(hidden)[0] + made.bias.weight[item, 0]
        torch.testing.assert_close(found[item], want)


def test_without_attention_every_item_sees_the_mean():
    made, items = network(attention=False).double(), histories(1)
    seen = made.value(made.norm(made.embedding(items[0, :3]))).mean(0)
    found = made(items, torch.tensor([3]))[0]
    for item in range(ITEMS):
        offered = made.norm(made.embedding.weight[item + 2])
        hidden = made.inner(torch.cat([seen, offered, seen * offered])).clamp(min=0)
        torch.testing.assert_close(found[item], made.outer(hidden)[0] + made.bias.weight[item, 0])
    assert not [part for part in made.modules() if isinstance(part, Attention)]


@BOTH
def test_padding_cannot_matter(attention):
    made, items, lengths = network(attention=attention), histories(), torch.tensor([5, 3, 1])
    inside = torch.arange(LENGTH) < lengths[:, None]
    together = made(items * inside, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = made(items[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row], alone[0])


@BOTH
def test_items_can_be_scored_in_parts(attention, monkeypatch):
    made, items, lengths = network(attention=attention), histories(), torch.tensor([5, 3, 1])
    whole = made(items, lengths)
    monkeypatch.setattr(din, "CANDIDATES", 3 * 12 * 2)
    torch.testing.assert_close(made(items, lengths), whole)
    torch.testing.assert_close(made(items, lengths, torch.tensor([6, 2])), whole[:, [6, 2]])


@BOTH
def test_the_loss_is_that_of_all_that_was_offered(attention):
    made, items = network(attention=attention).double(), histories(2)
    lengths, targets = torch.tensor([5, 3]), torch.full((2, LENGTH), -100)
    targets[0, 1], targets[0, 4], targets[1, 2] = 4, 0, 6
    others = torch.randint(0, ITEMS, (2, 3, LENGTH), generator=torch.Generator().manual_seed(2))
    total, count = made.loss(items, lengths, targets, others)
    want = 0.0
    for row, place, right in ((0, 1, 4), (0, 4, 0), (1, 2, 6)):
        logits = made(items[row : row + 1, : place + 1], torch.tensor([place + 1]))[0]
        want -= logits[right].sigmoid().log().item()
        want -= sum((1 - logits[each].sigmoid()).log().item() for each in others[row, :, place])
    assert count == 3 * 4
    assert total.item() == pytest.approx(want, rel=1e-5)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="heads"):
        network(heads=3)
