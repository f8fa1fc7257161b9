"""A service behind a socket, until somebody stops it: what is begun is finished."""

import socket
from collections.abc import Callable, Sequence

import uvicorn

from heedful.serving.app import Server
from heedful.serving.limits import Limits
from heedful.serving.listening import address_of, is_loopback
from heedful.serving.origins import LOCAL
from heedful.serving.service import Service

GRACE = 5.0  # seconds beyond those of a request, for answers to be read
BACKLOG = 2048  # callers that have not been let in
IDLE = 30  # seconds that a connection may stay without a request


def serve_on(
    door: socket.socket,
    service: Service,
    limits: Limits,
    *,
    names: Sequence[str] = (),
    tell: Callable[[str], object],
) -> None:
    """Serve until SIGINT or SIGTERM; whoever waits by then is answered, nobody else is let in.

    Args:
        door: Bound, and not yet listening.
        service: Answers.
        limits: Of what is taken.
        names: By which a server of this machine alone is also asked, as by a proxy before it.
        tell: Called with where it is, and who can reach it.

    Raises:
        HeedfulError: The run cannot answer a first input.
        KeyboardInterrupt: SIGINT came, and all is done; of SIGTERM what its handler raises.
    """
    wrong: list[BaseException] = []

    def failed(error: BaseException) -> None:
        wrong.append(error)
        engine.should_exit = True

    host = door.getsockname()[0]
    hosts = (*LOCAL, *names) if is_loopback(host) else ()
    server = Server(service, limits, hosts=hosts, failed=failed)
    engine = engine_of(server)
    door.listen(BACKLOG)  # whoever reads that it is there finds it there
    tell(f"Serving {service.run.folder} at {address_of(door)} (Ctrl-C stops it)")
    if not is_loopback(host):
        tell(f"heedful: {host} is reached from other machines, and nobody is asked who they are")
    try:
        engine.run([door])
    finally:
        server.batcher.close(drop=True)  # after a second signal, of those who were cut off
    if wrong:
        raise wrong[0]


def engine_of(server: Server) -> uvicorn.Server:
    """Return what speaks HTTP for a server."""
    return uvicorn.Server(
        uvicorn.Config(
            server.app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="on",
            server_header=False,
            proxy_headers=False,  # nobody here asks where a request comes from
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=int(min(server.limits.seconds, 1e6) + GRACE),
        )
    )
