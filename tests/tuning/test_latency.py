import time
from types import SimpleNamespace

import pytest

from heedful.data.examples import Example
from heedful.tuning import latency
from heedful.tuning.latency import EXAMPLES, milliseconds


def fake_run(count, seconds, calls):
    """A run with `count` examples whose task takes a time of its own."""

    def answer(model, data):
        assert model == "the model"
        calls.append((seconds, *data))
        time.sleep(seconds)

    def encode(examples):
        return [example.source for example in examples]

    examples = [Example(source=f"text {number}", target="x", kind="") for number in range(count)]
    return SimpleNamespace(
        examples=lambda split: {"dev": examples}[split],
        task=SimpleNamespace(encode=encode, answer=answer),
        model="the model",
    )


@pytest.mark.parametrize("count, examples", [(5, 5), (40, EXAMPLES), (100, EXAMPLES)])
def test_examples_one_at_a_time_evenly_over_the_split(count, examples):
    calls = []
    milliseconds([fake_run(count, 0.0, calls)], rounds=2)
    assert len(calls) == 3 * examples  # one round is not measured
    once = [text for _, text in calls[:examples]]
    assert calls == 3 * [(0.0, text) for text in once]
    assert len(set(once)) == examples
    assert int(once[-1].split()[1]) >= count * 3 // 4


def test_runs_take_turns(monkeypatch):
    calls = []
    monkeypatch.setattr(latency, "EXAMPLES", 1)
    milliseconds([fake_run(1, 0.0, calls), fake_run(1, 0.001, calls)], rounds=2)
    there_and_back = [0.0, 0.001, 0.001, 0.0]  # after the round that is not measured
    assert [seconds for seconds, _ in calls] == [0.0, 0.001, *there_and_back]


def test_is_the_median_time_of_an_example(monkeypatch):
    clock = iter([0.0, 3.0, 10.0, 11.0, 20.0, 26.0])  # rounds of 3, 1 and 6 seconds
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert milliseconds([fake_run(6, 0.0, [])], rounds=3) == [500.0]
