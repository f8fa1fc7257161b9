"""Masks for all heads that a module once had lose those that it has no more."""

import torch
from torch import nn

from heedful.allocation.adapters.structure.outside import cut_masks


class Giving(nn.Module):
    def forward(self, hidden_states, attention_mask=None, alibi=None, value=None):
        return attention_mask, alibi, value


def test_cuts_masks_of_all_heads_and_nothing_else():
    site, x = Giving(), torch.zeros(2, 5, 6)
    cut_masks(site, 4, [0, 2, 3])
    cut_masks(site, 3, [1, 2])
    mask = torch.arange(4.0)[None, :, None, None].expand(2, -1, 5, 5)
    given, slopes, value = site(x, mask, alibi=torch.arange(8.0)[:, None, None].expand(-1, 1, 5))
    assert given[0, :, 0, 0].tolist() == [2.0, 3.0]
    assert slopes[:, 0, 0].tolist() == [2.0, 3.0, 6.0, 7.0]
    assert value is None
    whole = torch.zeros(2, 1, 5, 5)
    given, slopes, value = site(x, attention_mask=whole, alibi=None, value=mask)
    assert given is whole
    assert value is mask


class Turned(nn.Module):
    def forward(self, x, rope):
        return rope


def test_turns_of_each_head_are_cut_and_those_of_all_are_not():
    site, x = Turned(), torch.zeros(2, 5, 6)
    cut_masks(site, 4, [0, 2])
    for rope, want in (
        (torch.zeros(4, 5, 8), 2),
        (torch.zeros(3, 5, 8), 3),
        (torch.zeros(5, 8), 5),
    ):
        assert len(site(x, rope=rope)) == want


def test_nothing_is_cut_where_all_heads_stay_in_place():
    site = Giving()
    cut_masks(site, 4, [0, 1, 2, 3])
    assert not site._forward_pre_hooks
