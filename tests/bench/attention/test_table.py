"""Lines of tables, and what a sweep comes to."""

from dataclasses import replace

import pytest

from heedful.bench.attention.row import Measurement
from heedful.bench.attention.table import (
    columns,
    scaling_efficiency,
    shared_values,
    summary,
    without_empty,
)
from heedful.bench.timing import Ratio


@pytest.fixture
def measured(row):
    def make(**changes):
        found = replace(row, **changes)
        speedup = None if found.speedup is None else Ratio(found.speedup, 3.5, 4.5)
        return Measurement(row=found, spread=(1.25, 1.75), speedup=speedup)

    return make


def test_a_line_of_a_table(measured):
    one = replace(measured(flex_ms=3.25), of_dense=Ratio(0.5, 0.4, 0.6))
    assert columns(one) == {
        "dtype": "bf16",
        "shape": "2 x 3 x 5 x 7 x 4",
        "density": "0.5",
        "mask": "causal",
        "pass": "forward",
        "threads": "2",
        "ours, ms": "1.5 (1.25 to 1.75)",
        "SDPA, ms": "6",
        "flex, ms": "3.25",
        "faster than SDPA": "4.00x (3.50 to 4.50)",
        "error": "2.0e-03",
        "SDPA's error": "1.0e-03",
        "of matrix rate": "75 %",
        "of our dense": "0.500",
        "of ideal scaling": "",
    }


def test_what_is_missing_is_empty(measured):
    line = columns(
        measured(speedup=None, error=None, sdpa_error=None, matrix_fraction=None, backward=True)
    )
    names = [name for name, text in line.items() if not text]
    assert names == [
        "flex, ms",
        "faster than SDPA",
        "error",
        "SDPA's error",
        "of matrix rate",
        "of our dense",
        "of ideal scaling",
    ]
    assert line["pass"] == "both"


def test_decoding_is_held_to_reading(measured):
    assert columns(measured(case="decode"))["of reading"] == "75 %"


def test_blocks_are_held_to_ideal_scaling(measured):
    sparse = replace(measured(case="sparse", density=0.25), of_dense=Ratio(0.3, 0.2, 0.4))
    assert scaling_efficiency(sparse) == 0.25 / 0.3
    assert columns(sparse)["of ideal scaling"] == "83 %"
    assert scaling_efficiency(replace(sparse, of_dense=None)) is None
    assert scaling_efficiency(replace(sparse, row=measured().row)) is None


def test_empty_columns_are_left_out():
    lines = [{"a": "", "b": "1", "c": ""}, {"a": "", "b": "2", "c": "3"}]
    assert without_empty(lines) == [{"b": "1", "c": ""}, {"b": "2", "c": "3"}]
    assert without_empty([]) == []


def test_what_all_lines_agree_on_is_told_once():
    first = {"dtype": "bf16", "threads": "2", "error": "1", "mask": "causal"}
    second = {"dtype": "fp32", "threads": "2", "error": "1", "mask": "causal"}
    assert shared_values("dense", [first, second]) == (
        "dense: threads 2, mask causal",
        [{"dtype": "bf16", "error": "1"}, {"dtype": "fp32", "error": "1"}],
    )
    assert shared_values("dense", [{"error": "1"}]) == ("dense", [{"error": "1"}])


def test_a_sweep_names_its_worst_shapes_where_they_count(measured):
    speedups = (1.5, 0.9, 0.97, 0.5)
    rows = [measured(case="sweep", speedup=speedup, keys=n) for n, speedup in enumerate(speedups)]
    rows.append(measured(case="sweep", speedup=0.1, sdpa_ms=0.099))
    rows[1] = measured(case="sweep", speedup=0.9, backward=True, causal=False, sdpa_ms=0.1)
    found = summary([*rows, measured(speedup=0.2)])
    assert found[0] == (
        "sweep: 3 of 4 shapes for which SDPA takes at least 100 us are slower than it; "
        "5 were measured."
    )
    assert found[1:3] == [
        "0.50x of SDPA's 6 ms: bf16, 2 x 3 x 5 x 3 x 4, causal",
        "0.90x of SDPA's 0.1 ms: bf16, 2 x 3 x 5 x 7 x 4, both passes",
    ]
    assert len(found) == 5


def test_only_the_worst_are_named(measured):
    rows = [measured(case="sweep", speedup=1 + n / 10) for n in range(20)]
    found = summary(rows)
    assert len(found) == 1 + 8
    assert found[1].startswith("1.00x")


def test_other_cases_have_no_summary(measured):
    assert summary([measured()]) == []
