"""The table of cases holds what the targets are about, and shapes that take their time only."""

import itertools
import re

import pytest

from heedful.bench.attention import cases
from heedful.bench.attention.cases import CASES, Case, groups
from heedful.errors import ConfigError


def flat(name):
    return [case for group in groups([name]) for case in group]


def test_cases_carry_the_name_of_their_table():
    assert groups() == [group for name in CASES for group in groups([name])]
    for name in CASES:
        assert {case.name for case in flat(name)} == {name}


@pytest.mark.parametrize("group", groups(), ids=lambda group: str(group[0]))
def test_what_is_measured_together_can_be_compared(group):
    shapes = {
        (c.dtype, c.batch, c.heads, c.queries, c.keys, c.dim, c.backward, c.sdpa_dtype)
        for c in group
    }
    assert len(shapes) == 1
    assert len(set(group)) == len(group)
    if len(group) > 1:
        assert [case.plain for case in group] == [True] + [False] * (len(group) - 1)


def test_dense_has_every_dtype_head_size_and_length():
    found = {(case.dtype, case.dim, case.keys) for case in flat("dense")}
    wanted = itertools.product(("bf16", "fp32"), (32, 64, 128), (256, 1024, 4096, 16384))
    assert found == set(wanted)


def test_what_the_other_tables_hold():
    assert {(c.keys, c.causal) for c in flat("causal")} == {
        (length, causal) for length in (1024, 4096, 16384) for causal in (False, True)
    }
    assert {(c.keys, c.causal) for c in flat("backward") if c.backward} == {
        (length, causal) for length in (1024, 4096) for causal in (False, True)
    }
    assert {(c.density, c.backward) for c in flat("sparse")} == {
        (density, backward) for density in (1, 0.5, 0.25, 0.125, 0.0625) for backward in (0, 1)
    }
    assert {(c.queries, c.keys, c.method) for c in flat("decode")} == {
        (1, keys, method)
        for keys in (4096, 8192, 16384, 32768)
        for method in ("attend", "select_pages")
    }
    assert {(c.batch, c.heads, c.keys, c.dim) for c in flat("small")} == {
        (32, 8, length, dim) for length in (16, 32, 64) for dim in (32, 64)
    }
    assert [(c.method, c.sdpa_dtype) for c in flat("select")] == [("select_blocks", "fp32")] * 2


def test_the_sweep_is_the_same_every_time_and_mixed():
    found = flat("sweep")
    assert found == flat("sweep")
    assert len(set(found)) == len(found) == 200
    assert sum(case.batch >= 8 for case in found) > 20
    assert sum(case.keys <= 32 for case in found) > 20
    assert sum(case.queries != case.keys for case in found) > 50
    assert 25 < sum(case.backward for case in found) < 75
    assert 60 < sum(case.causal for case in found) < 140
    for case in found:
        assert case.operations() <= cases.SWEEP_OPERATIONS
        assert 1 <= case.batch <= 32
        assert 1 <= case.heads <= 16
        assert 1 <= min(case.queries, case.keys) <= max(case.queries, case.keys) <= 2048
        assert 16 <= case.dim <= 128


@pytest.mark.parametrize("queries, keys", [(5, 5), (3, 7), (7, 3), (1, 4)])
def test_causal_pairs_are_counted(queries, keys):
    def pairs(causal):
        return Case(name="x", dtype="fp32", queries=queries, keys=keys, causal=causal).pairs()

    assert pairs(True) == sum(j <= i for i in range(queries) for j in range(keys))
    assert pairs(False) == queries * keys


def test_work_and_memory():
    sizes = {"batch": 2, "heads": 3, "queries": 5, "keys": 7, "dim": 4}
    case = Case(name="x", dtype="bf16", **sizes)
    assert case.operations() == 2 * (2 * 2 * 3 * 5 * 7 * 4)  # two products
    assert Case(name="x", dtype="bf16", backward=True, **sizes).operations() == 7 * 1680
    assert case.bytes() == 2 * (2 * 3 * 7 * 4 * 2)


def test_a_case_in_words():
    case = Case(name="sparse", dtype="bf16", queries=1, keys=2, density=0.5, backward=True)
    assert str(case) == "sparse, bf16, 1 x 8 heads, 1 x 2 of 64, density 0.5, backward"
    paged = Case(name="a", dtype="fp32", queries=1, keys=2, method="select_pages")
    assert str(paged).endswith(", select_pages")


def test_rejects_unknown_cases():
    message = f"cases must be among {', '.join(CASES)}, got 'dens'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        groups(["dense", "dens"])
