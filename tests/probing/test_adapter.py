"""What is recorded of a site: its calls, or the reason why there are none."""

from types import SimpleNamespace

import pytest

from heedful.errors import UnsupportedError
from heedful.probing.adapter import Recording
from heedful.probing.call import CaptureOptions


def refuse():
    raise UnsupportedError("queries must be 4-D, got 3")


def test_calls_are_kept_in_order_and_failures_are_counted():
    recording = Recording(["a", "b", "c"], CaptureOptions())
    for made in ("first", "second"):
        recording.record("a", lambda made=made: made)
    recording.record("b", refuse)
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
        recording.record("a", lambda: 1 / 0)


def test_of_enough_rows_no_more_calls_are_kept_and_all_are_counted():
    recording = Recording(["a", "b"], CaptureOptions(enough_rows=9))
    for _ in range(4):
        recording.record("a", lambda: SimpleNamespace(shape=(2, 1, 3, 5)))
    recording.record("b", lambda: SimpleNamespace(shape=(2, 1, 3, 5)))
    assert [len(recording.calls[name]) for name in "ab"] == [2, 1]
    assert [recording.count(name) for name in "ab"] == [4, 1]
