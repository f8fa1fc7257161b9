"""Every target is about rows that are measured, and is missed by a row on its wrong side."""

import importlib.util
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from heedful.bench.attention.cases import CASES, groups
from heedful.bench.attention.row import Measurement
from heedful.bench.timing import Ratio
from heedful.kernels.cpu.isa import ISAS

FILE = Path(__file__).parents[3] / "benchmarks" / "_attention_targets.py"
spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
targets = sys.modules[FILE.stem] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(targets)
NEEDS, TARGETS, judge, promised = (
    getattr(targets, name) for name in ("NEEDS", "TARGETS", "judge", "promised")
)


def rows(case, row):
    """A row for each case of the table, as quick as it should be."""
    for group in groups([case]):
        dense = None
        for one in group:
            known = {k: v for k, v in asdict(one).items() if k in asdict(row)}
            quick = replace(row, case=one.name, **known, speedup=100.0, matrix_fraction=0.95)
            quick = replace(quick, error=1e-6, sdpa_error=1e-6, ours_ms=0.001, sdpa_ms=0.1)
            part = Ratio(one.density / (2 if one.causal else 1), 0.0, 1.0)
            yield Measurement(
                row=quick,
                spread=(1.0, 2.0),
                speedup=Ratio(100.0, 1.0, 200.0),
                of_dense=None if one.plain else part,
                dense=None if one.plain else dense,
            )
            dense = quick if one.plain else dense


def slower(one):
    """The same row on the wrong side of everything."""
    row = replace(
        one.row, speedup=0.96, matrix_fraction=0.01, error=0.5, ours_ms=99.0, sdpa_ms=100.0
    )
    of_dense = None if one.of_dense is None else Ratio(1.5, 1.0, 2.0)
    return replace(one, row=row, of_dense=of_dense)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.text)
def test_a_target_is_met_or_missed(target, row):
    measured = [one for case in CASES for one in rows(case, row)]
    (verdict,) = judge(measured, [target])
    assert verdict.rows > 0
    assert (verdict.missed, verdict.word) == (0, "met")
    for number, one in enumerate(measured):
        if one.row == verdict.row:
            measured[number] = slower(one)
    (verdict,) = judge(measured, [target])
    assert verdict.missed == 1
    assert verdict.word == f"missed by 1 of {verdict.rows}"
    assert not target.met(verdict.worst)
    assert verdict.row.sdpa_ms == 100.0


def test_nothing_is_met_that_was_not_measured():
    for verdict in judge([]):
        assert (verdict.word, verdict.worst, verdict.row) == ("not measured", None, None)


@pytest.mark.parametrize(
    "case, changes, count",
    [
        ("dense", {"dtype": "bf16", "keys": 256, "dim": 64}, 1),
        ("dense", {"dtype": "bf16", "keys": 1024, "dim": 64}, 2),
        ("dense", {"dtype": "bf16", "keys": 4096, "dim": 64}, 3),
        ("dense", {"dtype": "bf16", "keys": 4096, "dim": 32}, 2),
        ("dense", {"dtype": "fp32", "keys": 256, "dim": 64}, 1),
        ("dense", {"dtype": "fp32", "keys": 1024, "dim": 64}, 2),
        ("causal", {"keys": 1024, "causal": True}, 0),
        ("causal", {"keys": 4096, "causal": True}, 2),
        ("causal", {"keys": 4096, "causal": False}, 0),
        ("backward", {"dtype": "fp32", "keys": 1024}, 1),
        ("sparse", {"density": 0.5}, 1),
        ("sparse", {"density": 0.5, "backward": True}, 1),
        ("sparse", {"density": 1.0}, 0),
        ("decode", {"dtype": "bf16", "density": 1.0}, 2),
        ("decode", {"dtype": "fp32", "density": 1.0}, 1),
        ("decode", {"dtype": "bf16", "density": 0.0625}, 0),
        ("sweep", {"sdpa_ms": 0.1}, 1),
        ("sweep", {"sdpa_ms": 0.099}, 0),
    ],
)
def test_which_targets_count_for_a_row(row, case, changes, count):
    found = replace(row, **{"case": case, "causal": False, "density": 1.0, **changes})
    held = [t for t in TARGETS if t.case == case and t.counts(found)]
    assert len(held) == count


def test_elsewhere_only_never_slower_is_promised():
    assert NEEDS in ISAS
    assert promised(NEEDS) == TARGETS
    assert [target.case for target in promised("avx2")] == ["sweep"]
