"""Which pages may ask: those of this server, not those that a browser shows beside it."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "[::1]")


class OwnOrigin:
    """Refuses what a browser sends for a page of somebody else.

    A page of any site may send requests to the reader's own machine; and by a name of its own that
    leads there it could read the answers too. A request for an unknown name is refused with 421,
    one of another page with 403. Programs send no `Origin`, and are not concerned.

    Args:
        app: What is guarded.
        hosts: Names under which it is asked; none given means any, where other machines ask.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = ()) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            refused = None
            if self._hosts and _name(host) not in self._hosts:
                names = ", ".join(self._hosts)
                refused = 421, f"the host must be one of {names}, got {host!r:.80}"
            elif origin is not None and origin.partition("://")[2] != host:
                refused = 403, f"a page must be of this server to ask it, got one of {origin!r:.80}"
            if refused is not None:
                status, line = refused
                await JSONResponse({"error": line}, status)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _name(host: str) -> str:
    """A host without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
