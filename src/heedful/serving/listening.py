"""The door: a socket that is ours before a model is loaded, and who may come through it."""

import ipaddress
import socket

from heedful.errors import ConfigError


def listen(host: str, port: int) -> socket.socket:
    """Take a port; nobody is let in before something is served on it.

    Raises:
        ConfigError: There is no such host, or the port is taken or forbidden.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"host must be a name or an address, got {host!r:.80}: {why}") from None
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        raise ConfigError(
            f"host and port must be free to listen on, got {host}:{port}: {error.strerror}"
        ) from None
    return found


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine alone."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def address_of(door: socket.socket) -> str:
    """Return where a browser on this machine finds a socket."""
    host, port = door.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
