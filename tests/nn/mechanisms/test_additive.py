"""Additive attention as a mechanism: one vector a head, of about unit length."""

import torch

from heedful.nn.mechanisms.additive import Additive


def test_every_head_has_a_vector_of_its_own():
    torch.manual_seed(5)
    weight = Additive(heads=40, dim=30).score_weight
    assert weight.shape == (40, 30)
    assert 0.9 < weight.norm(dim=1).mean() < 1.1
