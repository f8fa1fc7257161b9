"""Batch norms that are part of the layers before them."""

import pytest
import torch
from torch import nn

from heedful.allocation.adapters.structure.find import find
from heedful.allocation.adapters.structure.norms import disturb, fold, norms_of
from heedful.errors import UnsupportedError

from .vision import Levit, LinearNorm


def module(**settings):
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, **settings))
    pixel = nn.Sequential(nn.Conv2d(5, 4, 1, bias=False), nn.BatchNorm2d(4, **settings))
    return nn.ModuleDict({"one": pair, "other": pixel}).double().eval()


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"affine": False}])
def test_a_folded_layer_gives_what_both_gave(settings):
    new = module(**settings)
    disturb(new)
    for parameter in new.parameters():
        parameter.normal_()
    x, image = torch.randn(7, 3).double(), torch.randn(2, 5, 3, 3).double()
    want = new["one"](x), new["other"](image)
    assert norms_of(new) == {"one.0": "one.1", "other.0": "other.1"}
    fold(new, norms_of(new))
    torch.testing.assert_close(new["one"][0](x), want[0])
    torch.testing.assert_close(new["other"](image), want[1])
    assert norms_of(new) == {}


def test_only_norms_with_statistics_right_behind_a_layer_count():
    between = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.BatchNorm1d(5))
    without = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, track_running_stats=False))
    narrow = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(4))
    assert norms_of(between) == norms_of(without) == norms_of(narrow) == {}


class Elsewhere(Levit):
    """Its norm is registered behind a layer, and works before it."""

    def __init__(self):
        super().__init__()
        self.proj = LinearNorm(self.inner, self.inner)

    def forward(self, x):
        batch, length, _ = x.shape
        joined = self.qkv(x).view(batch, length, self.num_heads, -1)
        q, k, v = joined.split([self.key_dim, self.key_dim, self.value_dim], dim=3)
        q, k, v = q.transpose(1, 2), k.permute(0, 2, 3, 1), v.transpose(1, 2)
        mixed = (q @ k * 0.5).softmax(-1) @ v
        mixed = mixed.transpose(1, 2).reshape(batch, length, self.inner)
        return self.proj.linear(self.proj.bn(mixed.flatten(0, 1)).view_as(mixed))


def test_norms_that_work_elsewhere_are_refused():
    with pytest.raises(UnsupportedError, match="do not stand right behind its layers"):
        find(Elsewhere())
