"""Cases are measured in turns; rows hold what the table of targets asks for."""

from dataclasses import asdict, replace

import pytest
import torch

from heedful.bench.attention import measure as module
from heedful.bench.attention.cases import Case
from heedful.bench.attention.measure import MeasureSettings, in_rounds, measure
from heedful.bench.timing import Times

KEYS = (
    "case dtype batch heads queries keys dim density causal backward threads ours_ms sdpa_ms "
    "flex_ms speedup error sdpa_error matrix_fraction"
).split()
QUICK = MeasureSettings(seconds=0.01)

pytestmark = pytest.mark.usefixtures("small_matrices", "attend")


def case(**settings):
    sizes = {"batch": 2, "heads": 3, "queries": 256, "keys": 256, "dim": 16}
    return Case(**{"name": "dense", "dtype": "fp32", **sizes, **settings})


def test_a_row_has_exactly_the_promised_keys():
    heard = []
    (one,) = measure([(case(queries=7, keys=9),)], settings=QUICK, on_progress=heard.append)
    row = asdict(one.row)
    assert list(row) == KEYS
    shape = {"batch": 2, "heads": 3, "queries": 7, "keys": 9, "dim": 16}
    assert {name: row[name] for name in shape} == shape
    assert (row["case"], row["dtype"], row["density"]) == ("dense", "fp32", 1.0)
    assert (row["causal"], row["backward"], row["flex_ms"]) == (False, False, None)
    assert row["threads"] == torch.get_num_threads()
    assert row["error"] == row["sdpa_error"] > 0
    assert row["matrix_fraction"] > 0
    low, high = one.spread
    assert 0 < low <= row["ours_ms"] <= high
    assert one.speedup.median == row["speedup"]
    assert one.dense is one.of_dense is None
    assert heard == ["dense, fp32, 2 x 3 heads, 7 x 9 of 16, " + f"{row['threads']} threads"]


def scripted(monkeypatch, seconds):
    """`in_rounds` gives these seconds by the first word of a call, three rounds of them."""
    asked = []

    def rounds(calls, budget):
        asked.append((list(calls), budget))
        return {name: Times((seconds[name],) * 3) for name in calls}

    monkeypatch.setattr(module, "in_rounds", rounds)
    monkeypatch.setattr(module.MatrixRates, "now", lambda self, dtype: 1e9)
    return asked


def test_what_is_compared_comes_from_the_same_rounds(monkeypatch):
    group = (case(name="causal"), case(name="causal", causal=True))
    seconds = {"ours 0": 0.004, "ours 1": 0.003, "sdpa dense": 0.008, "sdpa causal": 0.012}
    asked = scripted(monkeypatch, seconds)
    dense, causal = measure([group], settings=QUICK)
    assert asked == [(["ours 0", "sdpa dense", "ours 1", "sdpa causal"], 0.02)]
    assert (dense.row.ours_ms, dense.row.sdpa_ms, dense.row.speedup) == (4.0, 8.0, 2.0)
    assert (causal.row.ours_ms, causal.row.sdpa_ms, causal.row.speedup) == (3.0, 12.0, 4.0)
    assert (dense.dense, dense.of_dense) == (None, None)
    assert causal.dense == dense.row
    assert causal.of_dense.median == 0.75
    work = 4 * 2 * 3 * 16 / 1e9
    assert dense.row.matrix_fraction == pytest.approx(work * 256 * 256 / 0.004)
    assert causal.row.matrix_fraction == pytest.approx(work * 256 * 257 / 2 / 0.003)


def test_blocks_count_by_their_density_and_share_the_dense_baseline(monkeypatch):
    group = (case(name="sparse", backward=True), case(name="sparse", density=0.5, backward=True))
    asked = scripted(monkeypatch, {"ours 0": 0.004, "ours 1": 0.002, "sdpa dense": 0.008})
    dense, sparse = measure([group], settings=QUICK)
    assert asked[0][0] == ["ours 0", "sdpa dense", "ours 1"]
    assert sparse.row.speedup == 4.0
    assert sparse.row.density == 0.5
    assert sparse.of_dense.median == 0.5
    assert sparse.row.matrix_fraction == pytest.approx(dense.row.matrix_fraction)
    assert dense.row.matrix_fraction == pytest.approx(
        3.5 * 4 * 2 * 3 * 16 * 256 * 256 / 1e9 / 0.004
    )
    # ours is compared with what its blocks let it see, and PyTorch with everything
    assert sparse.row.error < 1e-5
    assert sparse.row.sdpa_error < 1e-5


@pytest.mark.parametrize("there", [True, False])
def test_decoding_is_held_to_the_reading_of_its_keys_and_values(monkeypatch, read_all, there):
    read_all.there = there
    group = (case(name="decode", batch=1, queries=1, keys=1024),)
    times = {"ours 0": 0.004, "sdpa dense": 0.008, "reading": 0.003}
    asked = scripted(monkeypatch, times)
    (one,) = measure([group], settings=QUICK)
    assert ("reading" in asked[0][0]) == there
    assert one.row.matrix_fraction == (0.75 if there else None)
    assert read_all.bytes == ([group[0].bytes()] if there else [])


def test_flex_is_compiled_where_it_is_asked_for(monkeypatch):
    compiled = []

    def flex(problem):
        compiled.append(problem.case)
        return None if problem.case.causal else lambda: ()

    monkeypatch.setattr(module, "flex", flex)
    scripted(
        monkeypatch,
        {"ours 0": 1, "ours 1": 1, "sdpa dense": 1, "sdpa causal": 1, "flex 0": 0.5},
    )
    group = (case(flex=True), case(flex=True, causal=True))
    measure([group], settings=QUICK)
    assert compiled == []
    dense, causal = measure([group], settings=replace(QUICK, flex=True))
    assert compiled == list(group)
    assert (dense.row.flex_ms, causal.row.flex_ms) == (500.0, None)
    measure([(case(),)], settings=replace(QUICK, flex=True))
    assert len(compiled) == 2


@pytest.mark.parametrize(
    "name, seconds, budgets",
    [("sweep", 0.0098, [0.01]), ("sweep", 0.0104, [0.01]), ("dense", 0.0104, [0.01])],
)
def test_who_loses_is_measured_no_more_often(monkeypatch, name, seconds, budgets):
    asked = scripted(monkeypatch, {"ours 0": seconds, "sdpa dense": 0.01})
    found = measure([(case(name=name),)], settings=QUICK)
    assert [budget for _, budget in asked] == pytest.approx(budgets)
    assert len(found) == 1


def test_the_overhead_is_what_the_call_takes_beside_its_kernel(monkeypatch):
    times = {
        "attend": Times((5e-6, 9e-6, 6e-6)),
        "kernel": Times((1e-6, 2e-6, 3e-6)),
        "sdpa": Times((8e-6,) * 3),
    }
    warm = []
    monkeypatch.setattr(
        module, "overhead", lambda problem, impl: {name: lambda: warm.append(1) for name in times}
    )
    monkeypatch.setattr(module, "in_rounds", lambda calls, seconds: times)
    (one,) = measure([(case(name="overhead", method="overhead"),)], settings=QUICK)
    assert len(warm) == 3
    assert one.row.ours_ms == pytest.approx(0.004)
    assert one.row.sdpa_ms == pytest.approx(0.008)
    assert one.spread == pytest.approx((0.003, 0.007))
    assert (one.row.speedup, one.row.error, one.row.matrix_fraction) == (None, None, None)


def test_threads_are_set_and_put_back():
    before = torch.get_num_threads()
    group = (case(queries=4, keys=4),)
    seen = measure([group], threads=(1, 2), settings=QUICK)
    assert [one.row.threads for one in seen] == [1, 2]
    assert torch.get_num_threads() == before

    def broken(text):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        measure([group], threads=(before + 1,), settings=QUICK, on_progress=broken)
    assert torch.get_num_threads() == before


def test_the_kernel_that_is_asked_for_runs(attend):
    measure([(case(queries=4, keys=4),)], settings=replace(QUICK, impl="plain"))
    assert set(attend.impl) == {"plain"}


@pytest.mark.parametrize(
    "speed, seconds, repeats, rounds",
    [
        (5.0, 2.0, 1, 3),  # slow: three rounds all the same
        (0.1, 2.0, 1, 21),
        (0.0001, 0.1, 20, 51),  # 2 ms of calls make a round
        (0.0001, 9.0, 20, 101),
        (1e-7, 0.001, 100, 101),
    ],
)
def test_rounds_fill_the_time_and_what_is_quick_is_repeated(
    monkeypatch, speed, seconds, repeats, rounds
):
    called, taken = [], []

    def in_turns(calls, *, rounds, warm_up):
        before = len(called)
        calls["a"]()
        taken.append((rounds, warm_up, len(called) - before))
        return {"a": Times((speed * (len(called) - before),))}

    monkeypatch.setattr(module, "in_turns", in_turns)
    found = in_rounds({"a": lambda: called.append(1)}, seconds)
    assert taken == [(1, 0, 1), (rounds, 0, repeats)]
    assert found["a"].rounds == pytest.approx((speed,))


def test_a_repeated_call_is_timed_as_one():
    def call():
        torch.ones(1)

    found = in_rounds({"a": call, "b": call}, 0.02)
    assert set(found) == {"a", "b"}
    assert len(found["a"].rounds) == len(found["b"].rounds)
    assert 0 < found["a"].median < 0.001


def test_a_selection_tells_its_density(monkeypatch):
    from heedful.bench.attention import problem
    from heedful.mask import Mask

    grid = torch.ones(1, 3, 8, 8, dtype=torch.bool)
    grid[:, 0, 1] = False
    grid[:, 0, 1, 2] = True
    monkeypatch.setattr(problem, "selected_mask", lambda query, key: Mask.blocks(grid, block=128))
    chosen = case(name="select", batch=1, queries=1024, keys=1024, method="select_blocks")
    (one,) = measure([(chosen,)], settings=QUICK)
    assert one.row.density == 185 / 192
    assert one.row.error > 0.01 > one.row.sdpa_error
