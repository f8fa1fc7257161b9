"""All of a federation on this machine: Flower's server and one process for every client."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from heedful.config.file import toml
from heedful.errors import MissingExtraError, TrainingError, UnsupportedError
from heedful.files import write_bytes

HOST = "127.0.0.1"
PATIENCE = 120.0  # seconds until Flower must listen
GRACE = 10.0  # seconds that a process has for ending

# telemetry off, threads of one client not in the way of another's, and nothing installed by Flower
SETTINGS = {"FLWR_TELEMETRY_ENABLED": "0", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
Process = subprocess.Popen[bytes]
_NODE = ("flower-supernode", "--insecure", "--superlink")
_ROUND = re.compile(r"\[ROUND (\d+)/(\d+)\]")


def check_flower() -> None:
    """Say how to get Flower where it is missing.

    Raises:
        MissingExtraError: flwr is not installed.
        UnsupportedError: This is Windows, where no process ends with all that it has started.
    """
    if not hasattr(os, "killpg"):
        raise UnsupportedError(f"federated training must run on Linux or macOS, got {sys.platform}")
    if find_spec("flwr") is None:
        raise MissingExtraError(
            "federated training needs flwr, got an installation without it. Install it in an "
            "environment of its own: pip install 'heedful[federated]'"
        )


def run_on_loopback(
    app: Path,
    nodes: Sequence[Mapping[str, str | int | float]],
    *,
    logs: Path,
    on_round: Callable[[int, int], None],
) -> None:
    """Start a server and the clients, run an app to its end, and stop all of them.

    Everything listens on 127.0.0.1 alone and talks without TLS, which is right there and nowhere
    else.

    Args:
        app: Written by `write_app`.
        nodes: The node configuration of each client.
        logs: A folder for the logs, and for what Flower keeps.
        on_round: Called with the number of the round that begins, and of all.

    Raises:
        TrainingError: A process of Flower ended before its time, or the app failed.
    """
    ports = _free_ports(1 + len(nodes))
    home = logs / "flower"
    home.mkdir()
    place = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "{HOST}:{ports[0]}"'
    write_bytes(home / "config.toml", f"{place}\ninsecure = true\n".encode())
    environment = os.environ | SETTINGS | {"FLWR_HOME": str(home)}
    environment["PATH"] = f"{_folder()}{os.pathsep}{environment.get('PATH', '')}"
    link = ("flower-superlink", "--insecure", "--host", HOST, "--port", str(ports[0]))
    with ExitStack() as running:
        log = logs / "server.log"
        own = (*link, "--disable-runtime-dependency-installation")
        server = running.enter_context(_process(own, log, environment))
        _wait_until_open(ports[0], server, log)
        started = {log: server}
        for number, (node, port) in enumerate(zip(nodes, ports[1:], strict=True)):
            log = logs / f"client-{number}.log"
            own = (*_NODE, f"{HOST}:{ports[0]}", "--port", str(port), "--node-config")
            settings = " ".join(f"{name}={toml(value)}" for name, value in node.items())
            started[log] = running.enter_context(_process((*own, settings), log, environment))
        _submit(app, logs / "app.log", environment, on_round, started)


def _submit(
    app: Path,
    log: Path,
    environment: Mapping[str, str],
    on_round: Callable[[int, int], None],
    needed: Mapping[Path, Process],
) -> None:
    """Run the app until it ends, or one of the processes that it needs does."""
    with _process(("flwr", "run", str(app), "here", "--stream"), log, environment) as process:
        seen = 0
        while process.poll() is None:
            gone = [log for log, other in needed.items() if other.poll() is not None]
            if gone:
                raise TrainingError(f"{gone[0].stem} must run until the end, got: {_last(gone[0])}")
            rounds = _ROUND.findall(log.read_text("utf-8", errors="replace"))
            for number, of in rounds[seen:]:
                on_round(int(number), int(of))
            seen = len(rounds)
            time.sleep(0.2)
    if process.returncode:
        raise TrainingError(f"the app must run to its end, got: {_last(log)}")


@contextmanager
def _process(words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Generator[Process]:
    """A command of this environment, which is gone behind the block."""
    command = [str(_folder() / words[0]), *words[1:]]
    with log.open("wb") as kept:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=kept,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: Process) -> None:
    """End a process and all that it has started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            try:
                os.killpg(process.pid, sign)
                process.wait(GRACE)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        return


def _wait_until_open(port: int, server: Process, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            raise TrainingError(f"Flower's server must run, got {_last(log)}")
        with socket.socket() as asked:
            asked.settimeout(1)
            if asked.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    raise TrainingError(f"Flower's server must listen within {PATIENCE:.0f} s, got {_last(log)}")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def _folder() -> Path:
    """Where the commands of this environment are."""
    return Path(sys.executable).parent


def _last(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "no word")[:300]
