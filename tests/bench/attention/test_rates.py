"""Rates of the machine are measured again when they are old, for each number of threads."""

import pytest
import torch

from heedful.bench.attention import rates
from heedful.bench.attention.rates import YOUNG, MatrixRates, reading
from heedful.bench.timing import Times


@pytest.fixture
def products(monkeypatch):
    """Times of products are 1, 2, 3 … seconds; gives the dtypes that were multiplied."""
    dtypes = []

    def timed(calls, *, rounds, warm_up):
        dtypes.append((calls["product"]().dtype, rounds, warm_up))
        return {"product": Times((99.0, float(len(dtypes)), 0.0))}

    monkeypatch.setattr(rates, "in_turns", timed)
    return dtypes


def test_a_rate_is_believed_for_a_while(products):
    now = [100.0]
    found = MatrixRates(clock=lambda: now[0], side=4)
    assert found.now("fp32") == 2 * 4**3
    now[0] += YOUNG - 0.1
    assert found.now("fp32") == 2 * 4**3
    now[0] += 0.2
    assert found.now("fp32") == 2 * 4**3 / 2
    assert found.now("bf16") == 2 * 4**3 / 3
    # the first product of a kind is not measured
    assert products == [
        (torch.float32, 3, 1),
        (torch.float32, 3, 0),
        (torch.bfloat16, 3, 1),
    ]


def test_another_number_of_threads_is_another_rate(products, monkeypatch):
    found = MatrixRates(clock=lambda: 0.0, side=4)
    for threads in (1, 2, 1):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.now("fp32")
    assert {kind: len(seen) for kind, seen in found.all.items()} == {
        ("fp32", 1): 1,
        ("fp32", 2): 1,
    }


def test_rates_in_words():
    found = MatrixRates(side=8)
    found.all = {("bf16", 2): [3e9, 1e9, 2e9]}
    assert found.words() == ["matrix product of 8^3, bf16, threads 2: 2 GFLOP/s (1 to 3)"]


def test_a_real_product_has_a_rate():
    assert MatrixRates(side=16).now("bf16") > 0


def test_reading_reads_all_of_a_tensor(read_all):
    read = reading(torch.ones(2, 8))
    assert read is not None
    assert read() == 16.0
    assert read_all.bytes == [64, 64]  # once to see whether it can


def test_without_the_native_kernel_nothing_reads(read_all):
    read_all.there = False
    assert reading(torch.ones(1)) is None
