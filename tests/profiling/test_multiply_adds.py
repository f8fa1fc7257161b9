"""Multiply-adds by the sizes of what is multiplied, whatever is called with what."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from heedful.nn.attention import Attention
from heedful.profiling.multiply_adds import MultiplyAdds


def counted(call):
    with torch.no_grad(), MultiplyAdds() as counter:
        call()
    return counter.macs


class Learned(nn.Module):
    """Reads learned tokens, as detectors and token poolers do."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Parameter(torch.ones(1, 4))
        self.layer = nn.Linear(4, 6)

    def forward(self):
        return self.layer(self.tokens.expand(3, -1))


def test_a_layer_may_read_a_view_of_a_parameter():
    assert counted(Learned()) == 3 * 4 * 6


@pytest.mark.parametrize("fused", [True, False])
def test_attention_counts_whoever_computes_it(fused):
    query, key, value = (torch.randn(2, 3, length, dim) for length, dim in ((5, 4), (7, 4), (7, 6)))

    def written_out():
        return (query @ key.mT).softmax(-1) @ value

    call = (lambda: scaled_dot_product_attention(query, key, value)) if fused else written_out
    assert counted(call) == 2 * 3 * 5 * 7 * (4 + 6)


def test_a_module_is_its_projections_and_its_attention():
    module, x = Attention(width=12, heads=3), torch.randn(2, 8, 12)
    assert counted(lambda: module(x)) == 2 * (4 * 8 * 12 * 12 + 2 * 8 * 8 * 12)


def test_a_sum_of_a_product_counts_once():
    a, b = torch.randn(3, 5), torch.randn(3, 5)
    assert counted(lambda: (a * b).sum(1)) == 15
    assert counted(lambda: (a * b, b.sum(1))) == 0


def test_products_with_vectors_count():
    matrix, vector = torch.randn(3, 5), torch.randn(5)
    assert counted(lambda: matrix @ vector) == 15
    assert counted(lambda: torch.randn(2, 3, 5) @ vector) == 30  # as the scores of v . tanh(...)
    assert counted(lambda: vector @ vector) == 5
    assert counted(lambda: torch.vdot(vector, vector)) == 5
    assert counted(lambda: torch.addmv(torch.randn(3), matrix, vector)) == 15


def test_a_bilinear_score_counts_all_its_products():
    module = nn.Bilinear(3, 4, 5)
    assert counted(lambda: module(torch.randn(2, 3), torch.randn(2, 4))) == 2 * 3 * 4 * 5


@pytest.mark.parametrize("kind, gates", [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("layers, directions", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_recurrence_counts_step_by_step(kind, gates, batch_first, layers, directions):
    module = kind(4, 6, layers, batch_first=batch_first, bidirectional=directions == 2)
    above = (layers - 1) * 6 * (6 * directions + 6)
    wanted = 10 * gates * directions * (6 * (4 + 6) + above)
    assert counted(lambda: module(torch.randn(5, 2, 4))) == wanted


def test_what_is_no_matter_does_not_count():
    class Half(MultiplyAdds):
        on = False

        def counts(self):
            return self.on

    a = torch.randn(3, 3)
    with Half() as counter:
        a @ a
        counter.on = True
        a @ a
    assert counter.macs == 27
