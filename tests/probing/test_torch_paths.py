"""Whatever decides which path torch takes, the map is that of the path it took.

Every pair of conditions occurs. What torch did is read from its output: the float64 reading of the
masks that gives this output is the one whose weights the map must show.
"""

import itertools
import random
import warnings
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from heedful.probing.probe import probe

BATCH, LENGTH, DIM = 2, 5, 6

CONDITIONS = {
    "train": (False, True),
    "gradient": (False, True),
    "zero": (False, True),
    "bias_kv": (False, True),
    "hint": (False, True),
    "mask": ("none", "causal", "causal numbers", "other", "zeros", "numbers", "each head"),
    "padding": ("none", "bool", "numbers"),
    "needed": (False, True),
    "batch_first": (True, False),
    "heads": (2, 3),
    "bias": (True, False),
    "same": (True, False),
    "autocast": (False, True),
}


def pairs(row):
    return set(itertools.combinations(row.items(), 2))


def cover():
    """Few rows that hold every pair of conditions."""
    draw = random.Random(7)
    names = itertools.combinations(CONDITIONS, 2)
    wanted = {((a, x), (b, y)) for a, b in names for x in CONDITIONS[a] for y in CONDITIONS[b]}
    wanted = {pair for pair in wanted if dict(pair) != {"hint": True, "mask": "none"}}
    while wanted:
        rows = [{name: draw.choice(of) for name, of in CONDITIONS.items()} for _ in range(40)]
        rows = [row for row in rows if row["mask"] != "none" or not row["hint"]]
        best = max(rows, key=lambda row: len(pairs(row) & wanted))
        wanted -= pairs(best)
        yield best


def draw_mask(kind, heads):
    generator = torch.Generator().manual_seed(5)
    drop = torch.ones(LENGTH, LENGTH).triu(1).bool()
    numbers = torch.randn(LENGTH, LENGTH, generator=generator)
    each = torch.rand(BATCH * heads, LENGTH, LENGTH, generator=generator) > 0.5
    return {
        "none": None,
        "causal": drop,
        "causal numbers": torch.zeros(LENGTH, LENGTH).masked_fill(drop, -torch.inf),
        "other": drop.T.roll(1, dims=1),
        "zeros": torch.zeros(LENGTH, LENGTH),
        "numbers": numbers,
        "each head": each & ~torch.eye(LENGTH).bool(),
    }[kind]


def draw_padding(kind):
    drop = torch.arange(LENGTH) >= torch.tensor([LENGTH, LENGTH - 1])[:, None]
    return {
        "none": None,
        "bool": drop,
        "numbers": torch.zeros(BATCH, LENGTH).masked_fill(drop, -torch.inf),
    }[kind]


def numbers_of(mask):
    """What a mask adds to scores."""
    if mask.dtype != torch.bool:
        return mask.double()
    return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(mask, -torch.inf)


def reading(module, inputs, mask, padding, *, switch):
    """Weights and output in float64: by the masks, or by a causal switch in their place."""
    heads = module.num_heads
    weights = module.in_proj_weight.detach().double().chunk(3)
    biases = [0.0] * 3 if module.in_proj_bias is None else module.in_proj_bias.double().chunk(3)
    query, key, value = (
        x.double() @ weight.T + bias
        for x, weight, bias in zip(inputs, weights, biases, strict=True)
    )
    if module.bias_k is not None:
        key = torch.cat([key, module.bias_k.double().expand(BATCH, 1, -1)], 1)
        value = torch.cat([value, module.bias_v.double().expand(BATCH, 1, -1)], 1)
    if module.add_zero_attn:
        key, value = (torch.cat([x, torch.zeros_like(x[:, :1])], 1) for x in (key, value))
    query, key, value = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.mT / DIM**0.5
    if switch:
        scores += torch.full(scores.shape[2:], -torch.inf, dtype=torch.float64).triu(1)
    elif mask is not None:
        each = numbers_of(mask)
        scores[..., :LENGTH] += each if each.ndim == 2 else each.unflatten(0, (BATCH, heads))
    if padding is not None:
        scores[..., :LENGTH] += numbers_of(padding)[:, None, None]
    shares = scores.softmax(-1)
    out = module.out_proj
    mixed = (shares @ value).transpose(1, 2).flatten(2) @ out.weight.double().T
    return shares, mixed + (0.0 if out.bias is None else out.bias.double())


@pytest.mark.parametrize("row", list(cover()), ids=lambda row: "-".join(map(str, row.values())))
def test_map_is_that_of_the_path_torch_took(row):
    torch.manual_seed(3)
    width = DIM * row["heads"]
    module = nn.MultiheadAttention(
        width,
        row["heads"],
        bias=row["bias"],
        add_bias_kv=row["bias_kv"],
        add_zero_attn=row["zero"],
        batch_first=row["batch_first"],
    ).train(row["train"])
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    x, y = torch.randn(2, BATCH, LENGTH, width)
    first = (x, x, x) if row["same"] else (x, y, y)
    given = list(first) if row["batch_first"] else [z.transpose(0, 1) for z in first]
    if row["same"]:
        given = [given[0]] * 3
    mask, padding = draw_mask(row["mask"], row["heads"]), draw_padding(row["padding"])
    masks = {"attn_mask": mask, "key_padding_mask": padding, "is_causal": row["hint"]}
    half = torch.autocast("cpu", dtype=torch.bfloat16) if row["autocast"] else nullcontext()
    with warnings.catch_warnings(), torch.set_grad_enabled(row["gradient"]), half:
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        want = module(*given, **masks, need_weights=row["needed"])[0]
        with probe(module) as p:
            actual = module(*given, **masks, need_weights=row["needed"])[0]
    assert torch.equal(actual, want)
    output = (actual if row["batch_first"] else actual.transpose(0, 1)).detach().double()
    band = 0.03 if row["autocast"] else 1e-5
    with torch.no_grad():
        readings = [reading(module, first, mask, padding, switch=x) for x in (False, True)]
    ours = p.maps("").double()
    found = [
        shares
        for shares, mixed in readings
        if torch.allclose(mixed, output, rtol=0, atol=band * output.abs().max().item())
    ]
    assert found, "no reading gives what torch gave"
    assert all((ours - shares).abs().max() < band for shares in found)
    assert p.fidelity()[""].error < 2 * band
