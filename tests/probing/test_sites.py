"""Which modules are sites, and what is said of those that are not."""

import pytest
import torch
from torch import nn

from heedful.allocation.sites import find_sites as changeable
from heedful.errors import ConfigError, UnsupportedError
from heedful.models import RnnSeq2Seq
from heedful.nn.attention import Attention
from heedful.probing.sites import choose_sites, find_sites


class StrangeAttention(nn.Module):
    def forward(self, x):
        return x


class HoldingAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Attention(width=8, heads=2)


def test_strangers_are_named_and_holders_are_not():
    model = nn.Sequential(StrangeAttention(), HoldingAttention(), nn.TransformerEncoderLayer(8, 2))
    sites, unknown = find_sites(model)
    assert [site.name for site in sites] == ["1.inner", "2.self_attn"]
    assert unknown == {"0": "StrangeAttention is attention that no adapter knows"}


def test_a_pattern_for_a_stranger_gives_the_reason():
    sites, unknown = find_sites(nn.ModuleDict({"a": StrangeAttention(), "b": HoldingAttention()}))
    message = "sites must match one of b.inner, got 'a'; StrangeAttention is attention that no"
    with pytest.raises(ConfigError, match=message):
        choose_sites(nn.Linear(1, 1), sites, "a", unknown)
    assert choose_sites(nn.Linear(1, 1), sites, None, unknown) == sites
    with pytest.raises(ConfigError, match="sites must match one of none, got 'x'"):
        choose_sites(nn.Linear(1, 1), [], "x", unknown)
    assert choose_sites(nn.Linear(1, 1), [], None, unknown) == []


def test_a_shared_module_is_one_site():
    shared = Attention(width=8, heads=2)
    sites, _ = find_sites(nn.Sequential(shared, shared))
    assert [site.name for site in sites] == ["0"]


def test_the_aligner_of_a_recurrent_decoder_is_a_site_that_nothing_changes():
    model = RnnSeq2Seq(source_size=9, target_size=8, width=4, hidden=6)
    sites, unknown = find_sites(model)
    assert [site.name for site in sites] == ["aligner"]
    assert unknown == {}
    assert changeable(model) == ([], {"aligner": "Additive returns its weights itself"})


@pytest.mark.parametrize("in_place", [True, False])
def test_compiled_models_are_refused(in_place):
    model = nn.Sequential(Attention(width=8, heads=2))
    if in_place:
        model.compile(backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    name = "Sequential" if in_place else "OptimizedModule"
    with pytest.raises(UnsupportedError, match=f"model must not be compiled, got {name} at ''"):
        find_sites(model)


def test_scripted_attention_is_named():
    # which kind of warning depends on the version of torch
    with pytest.warns(Warning, match="torch.jit.script"):
        scripted = torch.jit.script(StrangeAttention())
    _, unknown = find_sites(nn.Sequential(scripted))
    assert unknown == {"0": "StrangeAttention is attention that no adapter knows"}
