import json

import pytest
from starlette.requests import ClientDisconnect

from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.serving.batching import FullError, StoppedError
from heedful.serving.limits import LateError, Limits, TooLargeError, TypeRefusedError
from heedful.serving.refusals import refusal


@pytest.mark.parametrize(
    "error, status",
    [
        (DataError("a\n  b"), 422),
        (ConfigError("a b"), 422),
        (UnsupportedError("a b"), 422),
        (TooLargeError("a b"), 413),
        (TypeRefusedError("a b"), 415),
        (LateError("a b"), 408),
        (FullError("a b", after=3), 429),
        (StoppedError("a b", after=3), 503),
    ],
)
def test_each_error_has_its_status_and_one_line(error, status):
    said = refusal(error, Limits())
    assert said.status_code == status
    assert json.loads(said.body) == {"error": "a b"}
    assert said.headers.get("retry-after") == ("3" if status in (429, 503) else None)


def test_what_is_none_of_ours(caplog):
    late = refusal(TimeoutError(), Limits(seconds=2.5))
    assert late.status_code == 504
    assert b"within 2.5 seconds" in late.body
    assert refusal(MemoryError(), Limits()).status_code == 413
    assert refusal(ClientDisconnect(), Limits()).status_code == 499
    assert not caplog.records
    assert refusal(KeyError("x"), Limits()).status_code == 500
    assert "KeyError: 'x'" in caplog.text
