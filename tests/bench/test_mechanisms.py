"""Every mechanism is measured at every length, or left out with a reason."""

import json
import re

import pytest
import torch

from heedful.bench import mechanisms
from heedful.bench.mechanisms import APPROXIMATIONS, SETTINGS, Cell, Size, build, compare, texts
from heedful.errors import ConfigError
from heedful.nn.mechanisms import MECHANISMS
from heedful.ops import scaled_dot_attention, scaled_dot_weights

SMALL = Size(heads=2, dim=8, seconds=0.01)


def test_tables_name_mechanisms_that_exist():
    assert set(SETTINGS) <= set(MECHANISMS)
    assert set(MECHANISMS) >= APPROXIMATIONS


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_can_be_built_and_run(name):
    tensors = texts(128, SMALL)
    assert build(name, 128, SMALL)(*tensors).shape == tensors[2].shape


def test_measures_time_memory_and_error():
    heard = []
    comparison = compare(
        lengths=(64, 32),
        mechanisms=["window", "dot"],
        size=SMALL,
        on_progress=lambda name, length: heard.append((name, length)),
    )
    assert heard == [("window", 32), ("window", 64), ("dot", 32), ("dot", 64)]
    assert [(cell.mechanism, cell.length) for cell in comparison.cells] == heard
    assert comparison.lengths == (32, 64)
    assert comparison.settings == {"window": SETTINGS["window"](64)}
    for cell in comparison.cells:
        assert cell.forward_ms > 0
        assert cell.both_ms > 0
        assert cell.forward_ratio.low <= cell.forward_ratio.median <= cell.forward_ratio.high
    errors = {(cell.mechanism, cell.length): cell.error for cell in comparison.cells}
    # a causal window against plain attention that sees everything; dot means something else
    assert 0.1 < errors["window", 64] < 2
    assert errors["dot", 64] is None
    assert json.loads(json.dumps(comparison.to_json()))["cells"][0]["mechanism"] == "window"


def test_error_is_the_distance_to_plain_attention():
    cell = compare(lengths=(48,), mechanisms=["low_rank"], size=SMALL).cells[0]
    torch.manual_seed(SMALL.seed)
    tensors = texts(48, SMALL)
    with torch.no_grad():
        ours, plain = build("low_rank", 48, SMALL)(*tensors), scaled_dot_attention(*tensors)
    assert cell.error == pytest.approx(((ours - plain).norm() / plain.norm()).item())


def test_plain_attention_has_no_error_and_is_as_fast_as_itself():
    cell = compare(lengths=(64,), mechanisms=["scaled_dot"], size=SMALL).cells[0]
    assert cell.error is None


@pytest.mark.parametrize(
    "last, message",
    [
        (
            Cell(mechanism="dot", length=512, both_mib=4096.0, both_ms=1.0),
            "1024 would take up to 16 GiB",
        ),
        (
            Cell(mechanism="dot", length=512, both_mib=1.0, both_ms=9e3),
            "1024 would take up to 36 s a pass",
        ),
        (Cell(mechanism="dot", length=512, left_out="512 was too much"), "512 was too much"),
        (Cell(mechanism="dot", length=512, both_mib=1.0, both_ms=1.0), ""),
        (Cell(mechanism="dot", length=512, both_mib=None, both_ms=1.0), ""),
    ],
)
def test_what_would_take_too_much_is_left_out(last, message):
    assert mechanisms._too_much(last, 1024, Size(seconds=1.0)) == message


def test_what_is_left_out_at_one_length_is_left_out_beyond(monkeypatch):
    size = Size(heads=2, dim=8, seconds=0.01, memory=1)
    cells = compare(lengths=(64, 128, 256), mechanisms=["dot"], size=size).cells
    assert cells[0].left_out == ""
    for cell in cells[1:]:
        assert cell.left_out == cells[1].left_out != ""
        assert cell.forward_ms is None


def test_texts_look_for_keys_near_and_far():
    query, key, value = texts(256, Size())
    assert query.shape == key.shape == value.shape == (1, 4, 256, 64)
    distance = (scaled_dot_weights(query, key).argmax(-1) - torch.arange(256)).abs()
    assert 0.3 < (distance <= 40).double().mean() < 0.9
    again = texts(256, Size())
    assert all(torch.equal(a, b) for a, b in zip((query, key, value), again, strict=True))
    near = torch.nn.functional.cosine_similarity(key[:, :, :-1], key[:, :, 1:], dim=-1).mean()
    assert 0.5 < near < 0.95


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"mechanisms": ["dots"]}, "mechanism must be one of adaptive_span, "),
        ({"lengths": ()}, "lengths must be at least 1, got "),
        ({"lengths": (8, 0)}, "lengths must be at least 1, got 8, 0"),
    ],
)
def test_says_what_cannot_be_compared(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        compare(**settings)
