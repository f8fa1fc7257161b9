"""Attention without a name is listed, by whoever asks; what is none is not."""

import pytest
import torch
from torch import nn

import heedful
from heedful.allocation.sites import find_sites as changeable
from heedful.nn import Attention, FeedForward
from heedful.nn.co import CO_MODULES
from heedful.nn.vision import VISION
from heedful.probing.sites import find_sites as heard
from heedful.probing.unsupported import kinds_of, why_unsupported

WIDTH = 8


def named(name, **children):
    """A module of a class of this name, with these children and numbers."""
    module = type(name, (nn.Module,), {"forward": lambda self, x: x})()
    for child, value in children.items():
        setattr(module, child, value)
    return module


def linear(times=1):
    return nn.Linear(WIDTH, times * WIDTH)


NAMES = [
    *("SelfAttn", "TalkingHeadAttn", "AttnBlock", "MHA", "MHSA", "XCA", "GPSA", "LiteMLA"),
    *("WMSA2d", "CausalMHSABlock", "CrossAttend", "GatedDeltaNet", "MultiScaleRetention"),
    *("NonLocalBlock2D", "EcaModule", "BAM_CBAM"),
]
PARTS = {
    "q_proj k_proj": {"q_proj": linear(), "k_proj": linear(), "v_proj": linear()},
    "to_q to_kv": {"to_q": linear(), "to_kv": linear(2)},
    "qkv": {"qkv": nn.Conv2d(WIDTH, 3 * WIDTH, 1)},
    "query_key_value": {"query_key_value": linear(3)},
    "w_q w_k": {"w_q": nn.Parameter(torch.ones(2, 2)), "w_k": nn.Parameter(torch.ones(2, 2))},
    "wq wk": {"wq": linear(), "wk": linear()},
    "in_proj_qkvz": {"in_proj_qkvz": linear(4)},
    "linear_q linear_k": {"linear_q": linear(), "linear_k": linear()},
    "heads": {"num_heads": 4, "project": linear(3)},
}
NONE = {
    "MlpMixer": {"up": linear(4), "down": linear()},
    "Maintenance": {},
    "Attribute": {},
    "Gru": {"weights": linear(3)},
    "KeyOnly": {"key": linear(), "tokens": nn.Embedding(3, WIDTH)},
    "Encoders": {"encoder_q": linear(), "encoder_k": linear()},
    "Flags": {"q": nn.Identity(), "k": nn.Identity()},
    "SEModule": {"reduce": linear(), "expand": linear()},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_it_away(name):
    assert why_unsupported(named(name)) == f"{name} is attention that no adapter knows"


@pytest.mark.parametrize("parts", PARTS)
def test_parts_give_it_away(parts):
    reason = why_unsupported(named("Mixer", **PARTS[parts]))
    assert reason.startswith("Mixer looks like attention, with ")
    assert reason.endswith("and no adapter knows it")


@pytest.mark.parametrize("name", NONE)
def test_what_is_none_is_not_listed(name):
    assert why_unsupported(named(name, **NONE[name])) is None


def test_modules_of_torch_and_lists_are_none():
    parts = {"q": linear(), "k": linear()}
    for module in (
        nn.ModuleDict(parts),
        nn.GRU(4, 4),
        nn.Linear(2, 6),
        FeedForward(width=8, hidden=9),
    ):
        assert why_unsupported(module) is None


CHANNELS = "weighs channels, and looks at no position; weights() returns by what"
KNOWN = "is attention that no adapter knows; its weights() returns what it weighs by"
OURS = {  # what of ours nobody hears, and why
    "cbam": "weighs channels and pixels without queries and keys; weights() returns by what",
    "eca": CHANNELS,
    "squeeze_excitation": CHANNELS,
    "non_local": KNOWN,
    "bidaf": "returns its weights itself",
    "alternating": "returns its weights itself",
    "parallel": "returns its weights itself",
}


def ours(name):
    if name in VISION:
        settings = {"affinity": "dot"} if name == "non_local" else {}
        return VISION[name](channels=16, **settings)
    widths = {"width": 6} if name == "bidaf" else {"context_width": 6, "query_width": 4}
    return CO_MODULES[name](**widths, **({} if name == "bidaf" else {"hidden": 5}))


@pytest.mark.parametrize("find", [heard, changeable], ids=["heard", "changeable"])
@pytest.mark.parametrize("name", OURS)
def test_our_own_attention_is_listed(find, name):
    module = ours(name)
    sites, unknown = find(nn.Sequential(module))
    assert sites == []
    assert unknown == {"0": f"{type(module).__name__} {OURS[name]}"}


CHANGED_BY_NOBODY = {
    "sagan": lambda: VISION["sagan"](channels=16),
    "non_local": lambda: VISION["non_local"](channels=16),
}


@pytest.mark.parametrize("name", CHANGED_BY_NOBODY)
def test_our_own_attention_is_heard_and_listed_as_not_adaptable(name):
    model = nn.Sequential(CHANGED_BY_NOBODY[name]())
    sites, unknown = heard(model)
    assert ([site.name for site in sites], unknown) == (["0"], {})
    assert changeable(model) == ([], {"0": f"{type(model[0]).__name__} {KNOWN}"})


def test_both_lists_are_the_same():
    model = nn.ModuleDict(
        {
            "holder": named("OuterAttention", inner=Attention(width=WIDTH, heads=2)),
            "names": named("SelfAttn", inside=named("MHA")),
            "parts": named("Mixer", **PARTS["qkv"]),
            "torch": nn.TransformerEncoderLayer(WIDTH, 2, 16),
        }
    )
    assert heard(model)[1] == changeable(model)[1]
    assert list(heard(model)[1]) == ["names", "names.inside", "parts"]


class Nameless(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = linear(3)

    def forward(self, x):
        q, k, v = self.mix(x).chunk(3, -1)
        return (q @ k.mT).softmax(-1) @ v


def test_work_gives_it_away():
    model = nn.ModuleList([Nameless(), Attention(width=WIDTH, heads=2), named("MHA")])
    reason = {"0": "Nameless sums up by a softmax, and no adapter knows it"}

    def run(model):
        x = torch.randn(2, 3, WIDTH)
        return model[2](model[1](model[0](x)))

    for find in (heard, changeable):
        assert list(find(model)[1]) == ["2"]
        sites, unknown = find(model, run)
        assert [site.name for site in sites] == ["1"]
        assert list(unknown) == ["0", "2"]
        assert unknown.items() >= reason.items()


def test_profile_sees_work():
    profile = heedful.profile(
        nn.Sequential(nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), Nameless()),
        [torch.randn(2, 3, WIDTH)],
        leave_out=0,
    )
    assert profile.not_adaptable == {"1": "Nameless sums up by a softmax, and no adapter knows it"}


def test_kinds_are_counted():
    many = nn.Sequential(*(named(f"Kind{i}") for i in range(13)), linear(), linear())
    assert kinds_of(nn.Sequential(linear(), linear())) == "2 Linear, 1 Sequential"
    assert kinds_of(many).startswith("2 Linear, 1 Sequential, 1 Kind0")
    assert kinds_of(many).endswith("and 3 more kinds")
