"""A span reader: padding says nothing, the question matters, and the best span is found."""

import itertools

import pytest
import torch

from heedful.models.span_reader import HIDDEN, SpanReader, best_spans


def network(**settings):
    torch.manual_seed(0)
    return SpanReader(13, width=8, heads=2, layers=1, **settings).eval()


def inputs():
    torch.manual_seed(1)
    lengths, many = torch.tensor([5, 7]), torch.tensor([3, 2])
    text = torch.randint(1, 13, (2, 7)) * (torch.arange(7) < lengths[:, None])
    asked = torch.randint(1, 13, (2, 3)) * (torch.arange(3) < many[:, None])
    return text, lengths, asked, many


@pytest.mark.parametrize("attention", [True, False])
def test_padding_says_nothing(attention):
    model = network(attention=attention)
    text, lengths, asked, many = inputs()
    together = model(text, lengths, asked, many)
    alone = model(text[:1, :5], lengths[:1], asked[:1], many[:1])
    for whole, part in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[0, :5], part[0])
        assert (whole[0, 5:] == HIDDEN).all()


@pytest.mark.parametrize("attention", [True, False])
def test_the_question_matters_and_is_looked_at(attention):
    model = network(attention=attention)
    text, lengths, asked, many = inputs()
    other = asked.clone()
    other[:, 0] = 1 + other[:, 0] % 12
    first, second = (model(text, lengths, each, many) for each in (asked, other))
    assert not torch.allclose(first.start[:, :5], second.start[:, :5])
    found = model.looked_at(text, lengths, asked, many)
    if not attention:
        assert found is None
        return
    torch.testing.assert_close(found[0, :5].sum(1), torch.ones(5))
    assert not found[1, :, 2].any()


@pytest.mark.parametrize("longest", [1, 2, 9])
def test_the_best_span_is_the_best_of_all(longest):
    torch.manual_seed(longest)
    start, end = torch.randn(4, 6), torch.randn(4, 6)
    for row, (span, share) in enumerate(best_spans(start, end, longest=longest)):
        shares = {
            (i, j): (start[row].softmax(0)[i] * end[row].softmax(0)[j]).item()
            for i, j in itertools.product(range(6), repeat=2)
            if i <= j < i + longest
        }
        assert span == max(shares, key=shares.get)
        assert share == pytest.approx(shares[span])
