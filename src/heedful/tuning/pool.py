"""Processes that train, and the messages to and from them."""

import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from heedful.errors import RunError, UnsupportedError

Message = dict[str, Any]
PATIENCE = 5.0  # seconds that a worker has to leave
COMMAND = ("-m", "heedful.tuning.worker")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_pipes() -> None:
    """Check that a process can wait for several others here.

    Raises:
        UnsupportedError: This is Windows, where nothing waits for several pipes at once.
    """
    if sys.platform == "win32":
        raise UnsupportedError("a search must run on Linux or macOS, got Windows")


class Worker:
    """One process; what it prints besides messages goes to a file.

    Args:
        log: That file.
        threads: Of its numerical libraries, unless the environment says otherwise.
    """

    def __init__(self, log: Path, *, threads: int) -> None:
        self.log, self.ready, self.busy = log, False, False
        self._rest = b""
        with log.open("ab") as file:
            # -P: a file of the user that is named like a library must not be loaded in its place.
            # A session of its own: Ctrl-C reaches the search alone, which then ends its workers.
            self.process = subprocess.Popen(
                [sys.executable, "-P", *COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={"OMP_NUM_THREADS": str(threads)} | os.environ,
                start_new_session=True,
            )
        self.stdin = cast(IO[bytes], self.process.stdin)
        self.stdout = cast(IO[bytes], self.process.stdout)

    def send(self, message: Message) -> None:
        """Send a message; one that comes too late for a dead worker is lost."""
        if self.stdin.closed:  # it died after what this answers
            return
        try:
            self.stdin.write(json.dumps(message).encode() + b"\n")
            self.stdin.flush()
        except OSError:  # `receive` will say that it died
            pass

    def receive(self) -> list[Message]:
        """Read what has come; the last message of all is `died`, with a reason."""
        read = os.read(self.stdout.fileno(), 1 << 16)
        if not read:
            return [{"kind": "died", "reason": self._end()}]
        *lines, self._rest = (self._rest + read).split(b"\n")
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        """Let it end: at once where it can, by force where it does not."""
        try:
            self.stdin.close()
        except OSError:  # it died with something unread
            pass
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stdout.close()

    def _end(self) -> str:
        code = self.process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return f"the worker ended with {how}; the last line of {self.log} is: {last}"


class Pool:
    """Some workers; a context manager that leaves none behind.

    Args:
        logs: Folder for what they print; exists.
        workers: How many.
        threads: Of each; `None` means as many as there are cores for it.
    """

    def __init__(self, logs: Path, *, workers: int, threads: int | None = None) -> None:
        self.logs, self.count = logs, workers
        self.threads = max(cores() // workers, 1) if threads is None else threads
        self.workers: list[Worker] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        try:
            for number in range(1, self.count + 1):
                self._hire(self.logs / f"worker-{number}.log")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all workers and wait for them."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()
        self._selector.close()

    def free(self) -> list[Worker]:
        """Return those that wait for work."""
        return [worker for worker in self.workers if worker.ready and not worker.busy]

    def give(self, worker: Worker, command: Message) -> None:
        """Give work to one that is free."""
        worker.busy = True
        worker.send(command)

    def waiting(self) -> bool:
        """Whether any message is still to come."""
        return any(worker.busy or not worker.ready for worker in self.workers)

    def receive(self) -> list[tuple[Worker, Message]]:
        """Wait for messages about work; whoever dies over its work is replaced.

        Raises:
            RunError: A worker dies before it is ready.
        """
        found: list[tuple[Worker, Message]] = []
        for key, _ in self._selector.select():
            worker: Worker = key.data
            for message in worker.receive():
                if message["kind"] == "ready":
                    worker.ready = True
                    continue
                if message["kind"] == "died":
                    self._replace(worker, message["reason"])
                found.append((worker, message))
        return found

    def ask(self, worker: Worker, command: Message) -> Message:
        """Give work to one that is free, and wait for its answer alone."""
        self.give(worker, command)
        while True:
            for who, message in self.receive():
                if who is worker:
                    worker.busy = False
                    return message

    def _replace(self, worker: Worker, reason: str) -> None:
        self._selector.unregister(worker.stdout)
        self.workers.remove(worker)
        worker.stop()
        if not worker.ready:
            raise RunError(f"workers must start, got one that did not: {reason}")
        self._hire(worker.log)

    def _hire(self, log: Path) -> None:
        worker = Worker(log, threads=self.threads)
        self.workers.append(worker)
        self._selector.register(worker.stdout, selectors.EVENT_READ, worker)
