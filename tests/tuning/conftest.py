"""A pool whose workers only pretend to train: they say at once what a rule of the test says."""

import os
from pathlib import Path

import pytest

from heedful.tasks.translation.config import Config, TransformerModel
from heedful.tuning.folder import run_folder

CURVE = ((0.2, 4.0), (0.4, 3.0), (0.6, 2.5), (0.8, 2.2), (1.0, 2.0))


def played(config, *, quality, curve=CURVE, latency=None):
    """What a worker says about one training, message by message; fills the run folder."""
    run = Path(config["output"])
    step = run / "checkpoints" / "step-0000001"
    step.mkdir(parents=True)
    (run / "run.json").touch()
    return [
        {"kind": "started"},
        *({"kind": "evaluated", "share": share, "score": score} for share, score in curve),
        {"kind": "done", "quality": quality, "latency": latency},
    ]


class FakeWorker:
    def __init__(self, log):
        self.log, self.busy, self.next, self.rest = log, False, None, []

    def send(self, answer):
        assert self.next is None, "an answer that nobody waits for"
        self.next = {"kind": "stopped"} if answer["stop"] else self.rest.pop(0)


class FakePool:
    """In the place of `Pool`; `play(command)` gives the messages."""

    def __init__(self, play, workers=1):
        self.play = play
        self.workers = [FakeWorker(f"log {number}") for number in range(workers)]
        self.given, self.stopped = [], False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stopped = True

    def free(self):
        return [worker for worker in self.workers if not worker.busy]

    def waiting(self):
        return len(self.free()) < len(self.workers)

    def give(self, worker, command):
        self.given.append(command)
        worker.busy, worker.rest = True, self.play(command)
        worker.next = worker.rest.pop(0)

    def receive(self):
        told = [worker for worker in self.workers if worker.next is not None]
        assert told, "everybody waits for ever"
        found = []
        for worker in told:
            message, worker.next = worker.next, None
            found.append((worker, message))
        return found

    def ask(self, worker, command):
        self.give(worker, command)
        ((_, message),) = self.receive()
        return message


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Each line of a journal is forced to the disk; here nobody pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def small():
    """A config whose default space is small."""
    model = TransformerModel(width=32, heads=2, feedforward=32, positions="learned")
    return Config(model=model)


@pytest.fixture
def weights():
    """The numbers of the trials whose weights are still there."""

    def there(folder, most=50):
        runs = ((number, run_folder(folder, number)) for number in range(1, most))
        return [number for number, run in runs if (run / "checkpoints").exists()]

    return there


@pytest.fixture
def pool_of():
    """Make a pool whose workers play what a function of the command gives."""
    return FakePool


@pytest.fixture
def play():
    """Make messages of one training: see `played`."""
    return played


@pytest.fixture
def alive():
    """Say whether a process works; one that has ended and was not asked how does not."""

    def works(pid):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        state = Path(f"/proc/{pid}/stat")
        try:
            return not state.exists() or ") Z " not in state.read_text()
        except OSError:  # it ended in between
            return False

    return works
