"""What is recorded of a site: its calls, or the reason why there are none."""

from types import SimpleNamespace

import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.probing.adapter import Recording
from heedful.probing.call import CaptureOptions

OUTPUT = torch.zeros(1)


def refuse():
    raise UnsupportedError("queries must be 4-D, got 3")


def test_calls_are_kept_in_order_and_failures_are_counted():
    recording = Recording(["a", "b", "c"], CaptureOptions())
    for made in ("first", "second"):
        recording.record("a", lambda made=made: made, OUTPUT)
    recording.record("b", refuse, OUTPUT)
    recording.close()
    assert recording.calls == {"a": ["first", "second"], "b": [], "c": []}
    assert [recording.count(name) for name in ("a", "b", "c")] == [2, 1, 0]
    assert recording.unavailable == {
        "b": "queries must be 4-D, got 3",
        "c": "it was not called while the probe was open",
    }


def test_what_is_no_refusal_is_raised():
    recording = Recording(["a"], CaptureOptions())
    with pytest.raises(ZeroDivisionError):
        recording.record("a", lambda: 1 / 0, OUTPUT)


def test_of_enough_rows_no_more_calls_are_kept_and_all_are_counted():
    recording = Recording(["a", "b"], CaptureOptions(enough_rows=9))
    for _ in range(4):
        recording.record("a", lambda: SimpleNamespace(shape=(2, 1, 3, 5)), OUTPUT)
    recording.record("b", lambda: SimpleNamespace(shape=(2, 1, 3, 5)), OUTPUT)
    assert [len(recording.calls[name]) for name in "ab"] == [2, 1]
    assert [recording.count(name) for name in "ab"] == [4, 1]


def test_gradients_are_kept_as_the_call_has_its_output():
    recording = Recording(["a"], CaptureOptions(gradients=True))
    call, output = SimpleNamespace(gradients=[]), torch.ones(2, 3, requires_grad=True)
    recording.record("a", lambda: call, output, lambda gradient: gradient.mT)
    (output * torch.arange(6.0).view(2, 3)).sum().backward()
    assert [each.tolist() for each in call.gradients] == [[[0, 3], [1, 4], [2, 5]]]


def test_gradients_are_not_kept_unasked():
    recording = Recording(["a"], CaptureOptions())
    call, output = SimpleNamespace(gradients=[]), torch.ones(2, requires_grad=True)
    recording.record("a", lambda: call, output)
    output.sum().backward()
    assert call.gradients == []
