"""Sinks: planted heads are named right, numbers are those of loops in float64."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.probing.explicit_weights import ReturnedWeights
from heedful.probing.probe import probe
from heedful.probing.sinks import sinks
from heedful.probing.tiles import Workspace, tiles
from heedful.testing import tolerance

sys.path.insert(0, str(Path(__file__).parent))
from planted_heads import KEYS, NAMES, call_of, planted_call, random_call

FIELDS = ("mass", "even", "place", "value_norm", "output_rank", "agreement", "texts")


def weights_of(call):
    """The whole map, in float64."""
    batch, _, rows, keys = call.shape
    found = np.zeros(call.shape)
    for tile, weights, _, _ in call.weights.tiles(
        tiles(batch, call.shown, rows, keys), Workspace()
    ):
        found[tile.batch, list(tile.heads), tile.rows, : weights.shape[3]] = weights.double()
    return found


def by_loops(call, sees):
    """What sinks are, spelled out text by text."""
    weights, kv = weights_of(call), call.weights.kv_heads
    value = call.value.double().numpy()
    batch, heads, rows, keys = weights.shape
    found = {name: [[] for _ in range(heads)] for name in FIELDS[:5]}
    for b, h in np.ndindex(batch, heads):
        v = value[b, kv[h]]
        visible = [[j for j in range(keys) if sees(b, i, j)] for i in range(rows)]
        chosen = [i for i in range(rows) if len(visible[i]) > 1]
        if len(chosen) < 2:
            continue
        received = [sum(weights[b, h, i, j] for i in chosen) / len(chosen) for j in range(keys)]
        place = max(range(keys), key=lambda j: received[j])
        others = {j for i in chosen for j in visible[i]} - {place}
        norms = [math.sqrt(sum(x * x for x in v[j])) for j in range(keys)]
        outputs = np.array([sum(weights[b, h, i, j] * v[j] for j in range(keys)) for i in chosen])
        squares = np.linalg.svd(outputs, compute_uv=False) ** 2
        for name, number in {
            "mass": received[place],
            "even": sum(1 / len(visible[i]) for i in chosen) / len(chosen),
            "place": place,
            "value_norm": norms[place] * len(others) / sum(norms[j] for j in others),
            "output_rank": squares.sum() ** 2 / (squares**2).sum(),
        }.items():
            found[name][h].append(number)
    means = {name: [np.mean(x) for x in found[name]] for name in FIELDS[:5]}
    means["place"] = [min(x, key=lambda p, x=x: (-x.count(p), p)) for x in found["place"]]
    means["agreement"] = [
        x.count(p) / len(x) for x, p in zip(found["place"], means["place"], strict=True)
    ]
    means["texts"] = [len(x) for x in found["mass"]]
    return means


HIDDEN = torch.ones(5, 1, 5, 7, dtype=torch.bool)
HIDDEN[1, :, :, 4:] = False
HIDDEN[2, :, 1:] = False
KINDS = {
    "all": ({}, lambda b, i, j: True),
    "mask": ({"mask": Mask.causal()}, lambda b, i, j: j <= i + 2),
    "switch": ({"causal": True}, lambda b, i, j: j <= i),
    "visible": ({"visible": (HIDDEN,)}, lambda b, i, j: bool(HIDDEN[b, 0, i, j])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_those_of_loops(kind):
    rules, sees = KINDS[kind]
    call = random_call(scale=1.7, **rules)
    found, want = sinks([call]), by_loops(call, sees)
    for name in FIELDS:
        tolerance.assert_close(
            getattr(found, name).float(), torch.tensor(want[name]), roundings=64, largest=6.0
        )


@pytest.mark.parametrize("sink", [0, 3])
def test_planted_heads_are_named(sink):
    found = sinks([planted_call(sink=sink)])
    assert dict(zip(NAMES, found.kinds, strict=True)) == {
        "no-op": "no-op",
        "broadcast": "broadcast",
        "uniform": None,
        "one-hot": None,
        "mixed": "mixed",
    }
    assert found.place[:2].tolist() == [sink, sink]
    assert found.agreement[:2].tolist() == [1.0, 1.0]
    assert found.mass[:2].tolist() == pytest.approx([1.0, 1.0])
    assert found.output_rank[:3].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert found.value_norm[0] < 0.05 < 5 < found.value_norm[1]


def test_what_even_weights_give_the_first_key_is_no_sink():
    call = planted_call(causal=True)
    found = sinks([call])
    even = sum(1 / n for n in range(2, KEYS + 1)) / (KEYS - 1)
    assert found.even.tolist() == pytest.approx([even] * len(NAMES))
    assert found.mass[2] == pytest.approx(even)
    assert found.kinds[2] is None


def test_the_order_of_keys_changes_places_alone():
    order = torch.randperm(7, generator=torch.Generator().manual_seed(3))
    call = random_call()
    moved = replace(call.weights, key=call.weights.key[:, :, order])
    one, other = sinks([call]), sinks([call_of(moved, call.value[:, :, order])])
    for name in ("mass", "even", "value_norm", "output_rank"):
        assert getattr(other, name).tolist() == pytest.approx(getattr(one, name).tolist())
    planted = torch.randperm(KEYS, generator=torch.Generator().manual_seed(3))
    one, other = sinks([planted_call()]), sinks([planted_call(order=planted)])
    assert planted[other.place[:2].long()].tolist() == one.place[:2].tolist()
    assert other.kinds == one.kinds


def test_calls_are_texts_more():
    one, two = random_call(seed=1), random_call(seed=2, batch=3)
    both, parts = sinks([one, two]), [sinks([one]), sinks([two])]
    for name in ("mass", "value_norm", "output_rank"):
        a, b = (getattr(part, name) for part in parts)
        assert getattr(both, name).tolist() == pytest.approx(((5 * a + 3 * b) / 8).tolist())
    assert both.texts.tolist() == [8.0] * 3


def test_of_one_query_nothing_can_be_told():
    found = sinks([random_call(queries=1)])
    assert found.kinds == (None, None, None)
    assert found.mass.isnan().all()
    assert found.place.tolist() == [-1.0] * 3
    assert found.texts.tolist() == [0.0] * 3


def test_weights_need_not_come_from_scores():
    call = planted_call()
    returned = ReturnedWeights(
        batch=4,
        heads=call.weights.heads,
        kv_heads=call.weights.kv_heads,
        rows=call.weights.rows,
        queries=KEYS,
        keys=KEYS,
        returned=torch.from_numpy(weights_of(call)).float() * 3,  # sums need not be 1
    )
    found = sinks([call_of(returned, call.value)])
    assert found.kinds == sinks([call]).kinds


def test_other_heads_are_refused():
    call = random_call()
    with pytest.raises(UnsupportedError, match=r"the same heads to be summed up.*got 2 after 3"):
        sinks([call, replace(call, shown=(0, 2))])


def test_places_are_counted_from_the_first_key_of_a_text():
    torch.manual_seed(0)
    module = Attention(width=12, heads=3).eval()
    x = torch.randn(1, 4, 12)
    padded = torch.cat([torch.randn(1, 2, 12), x], dim=1)
    mask = Mask.dense(torch.tensor([0, 0, 1, 1, 1, 1]).bool()[None, None, None])
    with probe(module) as alone, torch.no_grad():
        module(x)
    with probe(module) as p, torch.no_grad():
        module(padded, mask=mask)
    one, other = alone.sinks()[""], p.sinks()[""]
    assert other.place.tolist() == one.place.tolist()
    for name in ("mass", "even", "value_norm", "output_rank"):
        assert getattr(other, name).tolist() == pytest.approx(getattr(one, name).tolist(), rel=1e-5)
