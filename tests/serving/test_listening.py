import socket

import pytest

from heedful.errors import ConfigError
from heedful.serving.listening import address_of, is_loopback, listen


def test_a_port_is_ours_and_nobody_is_let_in_yet():
    with listen("127.0.0.1", 0) as door:
        host, port = door.getsockname()
        assert address_of(door) == f"http://127.0.0.1:{port}"
        with socket.socket() as caller:
            assert caller.connect_ex((host, port)) != 0


def test_a_port_that_is_taken():
    with listen("127.0.0.1", 0) as door:
        door.listen()
        port = door.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"must be free to listen on, got 127.0.0.1:{port}"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["not a name", "x" * 70, "a..b", ""])
def test_a_host_that_cannot_be(host):
    with pytest.raises(ConfigError, match="host must be a name or an address, got "):
        listen(host, 0)


@pytest.mark.parametrize(
    "host, alone",
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_who_can_reach_it(host, alone):
    assert is_loopback(host) is alone


def test_where_a_browser_finds_it():
    with listen("0.0.0.0", 0) as door:
        assert address_of(door) == f"http://127.0.0.1:{door.getsockname()[1]}"
    if socket.has_ipv6:
        with listen("::1", 0) as door:
            assert address_of(door) == f"http://[::1]:{door.getsockname()[1]}"
