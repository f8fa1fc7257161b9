"""`heedful serve` with a library that only remembers; tests/serving has the server itself."""

import socket
import sys
from types import SimpleNamespace

import pytest

from heedful.serving import serve as serving
from heedful.serving import service as services


@pytest.fixture
def served(monkeypatch, library):
    """What would be served."""
    found = []

    def service(run, settings):
        return SimpleNamespace(run=run, settings=settings, takes=("text",))

    def serve_on(door, made, limits, names, tell):
        found.append((door.getsockname(), made, limits, names))
        tell("Serving r")

    monkeypatch.setattr(services, "Service", service)
    monkeypatch.setattr(serving, "serve_on", serve_on)
    return found


def test_options_reach_the_server(heedful, served):
    words = ("--port", "0", "--batch", "8", "--wait-ms", "2", "--queue", "9", "--timeout", "3")
    assert heedful("serve", "r", *words, "--beam", "4") == (0, "", "Serving r\n")
    [(address, service, limits, names)] = served
    assert names == ()
    assert address[0] == "127.0.0.1"
    assert service.settings == ["decode.beam=4"]
    assert (limits.batch, limits.wait, limits.queue, limits.seconds) == (8, 0.002, 9, 3)
    assert (limits.bytes, limits.characters) == (1 << 20, 10_000)


def test_the_largest_body(heedful, served):
    heedful(
        "serve",
        "r",
        "--port",
        "0",
        "--max-bytes",
        "123",
        "--max-characters",
        "7",
        "--name",
        "a.example",
    )
    assert served[0][3] == ["a.example"]
    assert (served[0][2].bytes, served[0][2].characters) == (123, 7)


def test_a_port_that_is_taken_is_said_before_the_run_is_opened(heedful, served, library):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = heedful("serve", "r", "--port", port)
    assert (code, out) == (2, "")
    assert err.startswith(f"heedful: host and port must be free to listen on, got 127.0.0.1:{port}")
    assert library.load == []


def test_without_the_extra(heedful, served, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = heedful("serve", "r", "--port", "0")
    assert code == 2
    assert err == (
        "heedful: serving needs fastapi, prometheus-client and uvicorn, got none of uvicorn. "
        "Install them with: pip install 'heedful[serve]'\n"
    )
