"""Faults planted in the probe, one at a time: each turns a check of maps or statistics red.

A check here is small and shares no code with the probe; the tests beside this one go further.
"""

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_faults import planted

WIDTH, HEADS, LENGTH = 12, 2, 5


class Fault(NamedTuple):
    """One wrong line, and the check that must see it."""

    what: str
    file: str
    right: str
    wrong: str
    check: str


TORCH, BOUNDS = "probing/torch_attention.py", "probing/text_bounds.py"
FAULTS = [
    Fault("a hint believed on the fused path", TORCH, "if not fused and", "if", "hint_in_eval"),
    Fault("a hint never believed", TORCH, "if not fused and", "if fused and", "added_keys"),
    Fault(
        "a path that is only left with biases",
        TORCH,
        "fused = merged.here and module.in_proj_bias is not None",
        "fused = merged.here",
        "no_biases",
    ),
    Fault(
        "a hint that wins over padding",
        TORCH,
        'given["is_causal"] and given["key_padding_mask"] is None and not',
        'given["is_causal"] and not',
        "hint_and_padding",
    ),
    Fault("room that counts", BOUNDS, "torch.where(reached > 0, reached, whole)", "whole", "room"),
    Fault(
        "positions from the last key",
        "probing/weights.py",
        "end = self.keys if self.bounds is None else self.bounds.end",
        "end = self.keys",
        "room",
    ),
    Fault(
        "padding that counts",
        BOUNDS,
        "unseen & to_self.any(1, keepdim=True)",
        "unseen & False",
        "padding",
    ),
    Fault(
        "sinks in the padding",
        "probing/statistics.py",
        "if start is not None and start.any():",
        "if False:",
        "padding",
    ),
    Fault("a doubt unsaid", "probing/fidelity.py", "if differs(call, error)", "if False", "doubt"),
]


def module(**settings):
    torch.manual_seed(0)
    made = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **settings).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.4)
    return made


X = torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))
FUTURE = torch.ones(LENGTH, LENGTH).triu(1).bool()
PADDING = torch.arange(LENGTH) < torch.tensor([0, 2])[:, None]  # True = hide, on the left


def heard(made, **given):
    probing = importlib.import_module("heedful.probing.probe")
    with torch.no_grad(), probing.probe(made) as p:
        made(X, X, X, need_weights=False, **given)
    return p


def weights(made, *, keys=LENGTH, **given):
    """By torch's slow path, with what it gives to keys from `keys` on given to the others."""
    shares = made(X, X + 0, X + 0, average_attn_weights=False, **given)[1].detach()[..., :keys]
    return shares / shares.sum(-1, keepdim=True)


def hint_in_eval():
    other = FUTURE.T.roll(1, dims=1)  # the hint is wrong, and nobody follows it
    p = heard(module(), attn_mask=other, is_causal=True)
    assert torch.allclose(p.maps(""), weights(module(), attn_mask=other), atol=1e-5)


def added_keys():
    made = module(add_zero_attn=True)
    p = heard(made, attn_mask=FUTURE, is_causal=True)
    assert torch.allclose(p.maps("")[..., :LENGTH], weights(made, attn_mask=FUTURE), atol=1e-5)


def no_biases():
    made = module(bias=False)
    p = heard(made, attn_mask=torch.zeros(LENGTH, LENGTH).bool(), is_causal=True)
    assert torch.allclose(p.maps(""), weights(made, attn_mask=FUTURE), atol=1e-5)


def hint_and_padding():
    masks = {"attn_mask": FUTURE, "key_padding_mask": PADDING.flip(1)}
    p = heard(module().train(), **masks, is_causal=True)
    assert torch.allclose(p.maps(""), weights(module(), **masks), atol=1e-5)


def room():
    outline = importlib.import_module("heedful.probing.text_bounds")
    call = importlib.import_module("heedful.probing.call")
    masking = importlib.import_module("heedful.probing.weights").Masking
    query, key = X[:, None, :1], torch.cat([X, X], 1)[:, None]
    seen = (torch.arange(2 * LENGTH) < LENGTH).view(1, 1, 1, -1)
    assert outline.end_of(seen, 1).item() == LENGTH
    subset = call.Subset(
        options=call.CaptureOptions(),
        heads=(0,),
        rows=torch.arange(1),
        queries=1,
        self_attention=True,
    )
    kept = call.scaled_dot(subset, query, key, scale=1.0, masking=masking(visible=(seen,)))
    assert kept.position.tolist() == [LENGTH - 1]


def padding():
    made = module().train()
    found = heard(made, key_padding_mask=PADDING).statistics(sinks=1)[""]
    assert found.rows.tolist() == [2 * LENGTH - 2] * HEADS
    shares = weights(made, key_padding_mask=PADDING)
    want = torch.cat([shares[0, ..., 0], shares[1, :, 2:, 2]], 1).mean(1)
    assert torch.allclose(found.sink_mass.float(), want, atol=1e-5)


def doubt():
    fidelity = importlib.import_module("heedful.probing.fidelity")
    p = heard(module().train())
    call = p.calls("")[0]
    call.output.add_(1.0)
    with pytest.warns(UserWarning, match="are not those that the model used"):
        fidelity.FidelityChecks().check("", [call])


CHECKS = {
    check.__name__: check
    for check in (hint_in_eval, added_keys, no_biases, hint_and_padding, room, padding, doubt)
}


@pytest.mark.filterwarnings("ignore:the maps of")  # the probe sees some of them itself
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_seen(fault, tmp_path):
    with planted(fault, tmp_path), pytest.raises((AssertionError, pytest.fail.Exception)):
        CHECKS[fault.check]()


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_fault_the_check_is_green(check):
    CHECKS[check]()
