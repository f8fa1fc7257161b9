"""The peak of a call is what it holds at once, however little of it is left at the end."""

import pytest
import torch

from heedful.bench import memory
from heedful.bench.memory import peak_bytes, run_with_peak

MEBIBYTE = 2**20
SIZE = 64 * MEBIBYTE

needs_linux = pytest.mark.skipif(
    not memory._can_reset(), reason="this system does not say how much a process held at most"
)


def block():
    return torch.ones(SIZE // 4)


@needs_linux
def test_counts_what_is_returned():
    assert SIZE - MEBIBYTE <= peak_bytes(block) <= SIZE + 2 * MEBIBYTE


@needs_linux
def test_counts_what_is_held_at_once_and_no_more():
    def call():
        first = block()
        second = first + 1
        del first
        return second.mul_(2)[:1].clone()

    assert 2 * SIZE - MEBIBYTE <= peak_bytes(call) <= 2 * SIZE + 2 * MEBIBYTE


@needs_linux
def test_what_is_kept_from_the_first_call_does_not_count():
    kept = []

    def call():
        if not kept:
            kept.append(block())

    assert peak_bytes(call) <= 2 * MEBIBYTE


def test_is_none_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_RESET", tmp_path / "no" / "such")
    assert peak_bytes(block) is None


def test_what_is_run_returns_what_it_returns():
    result, peak = run_with_peak(block)
    assert result.shape == (SIZE // 4,)
    assert peak is None or SIZE - MEBIBYTE <= peak
