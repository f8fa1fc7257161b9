import time
from types import SimpleNamespace

import pytest

from heedful.data.examples import Example
from heedful.tuning import latency
from heedful.tuning.latency import PHRASES, milliseconds


def fake_run(count, seconds, calls):
    """A run with `count` phrases whose translator takes a time of its own."""

    def translate(texts):
        calls.append((seconds, *texts))
        time.sleep(seconds)

    examples = [Example(source=f"text {number}", target="x", kind="") for number in range(count)]
    return SimpleNamespace(
        examples=lambda split: {"dev": examples}[split],
        translator=SimpleNamespace(translate=translate),
    )


@pytest.mark.parametrize("count, phrases", [(5, 5), (40, PHRASES), (100, PHRASES)])
def test_phrases_one_at_a_time_evenly_over_the_split(count, phrases):
    calls = []
    milliseconds([fake_run(count, 0.0, calls)], rounds=2)
    assert len(calls) == 3 * phrases  # one round is not measured
    once = [text for _, text in calls[:phrases]]
    assert calls == 3 * [(0.0, text) for text in once]
    assert len(set(once)) == phrases
    assert int(once[-1].split()[1]) >= count * 3 // 4


def test_runs_take_turns(monkeypatch):
    calls = []
    monkeypatch.setattr(latency, "PHRASES", 1)
    milliseconds([fake_run(1, 0.0, calls), fake_run(1, 0.001, calls)], rounds=2)
    there_and_back = [0.0, 0.001, 0.001, 0.0]  # after the round that is not measured
    assert [seconds for seconds, _ in calls] == [0.0, 0.001, *there_and_back]


def test_is_the_median_time_of_a_phrase(monkeypatch):
    clock = iter([0.0, 3.0, 10.0, 11.0, 20.0, 26.0])  # rounds of 3, 1 and 6 seconds
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert milliseconds([fake_run(6, 0.0, [])], rounds=3) == [500.0]
