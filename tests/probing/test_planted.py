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
    Fault(
        "values of the sink among the others",
        "probing/sinks.py",
        "others = self.seen.scatter(2, place[..., None], False)",
        "others = self.seen",
        "sink",
    ),
    Fault(
        "a sink wherever there is most",
        "probing/sinks.py",
        "min(1.0, TIMES_EVEN * even)",
        "0.0 * even",
        "sink",
    ),
    Fault(
        "queries that meet their own text again",
        "probing/sharpness.py",
        "query=attention.query.roll(shift, 0)",
        "query=attention.query",
        "more_keys",
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


def sink():
    """Of three keys one has a value ten times as large; equal weights have no sink."""
    dispersion, value = importlib.import_module("heedful.probing.sinks"), torch.ones(1, 1, 3, 2)
    value[:, :, 1] = 10.0
    asked = [sinks_of(dispersion, torch.tensor(scores), value) for scores in ([0, 9, 0], [0, 0, 0])]
    assert asked[0].value_norm.item() == 10.0
    assert [found.kinds for found in asked] == [("broadcast",), (None,)]


def more_keys():
    """Two texts: of one key in the first the one query wants to know and the other does not."""
    sharpness = importlib.import_module("heedful.probing.sharpness")
    key = torch.tensor([[[[9.0], [0.0]]], [[[0.0], [0.0]]]])
    query = torch.tensor([1.0, -1.0])[:, None, None, None]
    found = sharpness.sharpness([(softmax(query, key), (0,))], heads=1)
    assert found.top[:2, 0].tolist() == pytest.approx([(1 + 1 / 2) / 2, (1 + 1 / 3) / 2], abs=1e-3)


def softmax(query, key):
    weights = importlib.import_module("heedful.probing.weights")
    size = {"batch": len(key), "queries": query.shape[2], "keys": key.shape[2]}
    rows = torch.arange(query.shape[2])
    tensors = {"query": query, "key": key, "scale": 1.0, "rows": rows}
    return weights.ScaledDotWeights(heads=(0,), kv_heads=(0,), **size, **tensors)


def sinks_of(module, scores, value):
    call = importlib.import_module("heedful.probing.call")
    weights = softmax(torch.ones(1, 1, 4, 1), scores.float()[None, None, :, None])
    found = {"weights": weights, "shown": (0,), "value": value, "output": value}
    return module.sinks([call.ProbedCall(**found, compared="nothing")])


def doubt():
    fidelity = importlib.import_module("heedful.probing.fidelity")
    p = heard(module().train())
    call = p.calls("")[0]
    call.output.add_(1.0)
    with pytest.warns(UserWarning, match="are not those that the model used"):
        fidelity.FidelityChecks().check("", [call])


CHECKS = {
    check.__name__: check
    for check in (
        *(hint_in_eval, added_keys, no_biases, hint_and_padding, room, padding, doubt),
        *(sink, more_keys),
    )
}


@pytest.mark.filterwarnings("ignore:the maps of")  # the probe sees some of them itself
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_seen(fault, tmp_path):
    with planted(fault, tmp_path), pytest.raises((AssertionError, pytest.fail.Exception)):
        CHECKS[fault.check]()


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_fault_the_check_is_green(check):
    CHECKS[check]()
