"""A server on a port of its own, in a thread of the test; and a service that learned nothing."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import httpx

from heedful.errors import DataError, UnsupportedError
from heedful.report.run_page.data import Shown
from heedful.serving.app import Server
from heedful.serving.limits import Limits
from heedful.serving.listening import address_of, listen
from heedful.serving.serve import engine_of

PATIENCE = 20


class Mirror:
    """Answers with the text turned round, as slowly as it is told to."""

    takes = ("text",)
    examples = ("a", "b", "c")

    def __init__(self):
        self.run = SimpleNamespace(config=SimpleNamespace(task="mirror"), folder="runs/mirror")
        self.batches, self.asked = [], []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.wrong, self.begun = None, 0

    def warm_up(self):
        self._pass()

    def predict(self, inputs):
        self.begun += len(inputs)
        self._pass()
        self.batches.append(len(inputs))
        return [self._one(each) for each in inputs]

    def _one(self, given):
        text = self.examples[given.index] if given.index is not None else given.text
        if text == "bad":
            return DataError("a text must be good, got 'bad'")
        if text == "empty":  # as the mean of nothing
            return {"answer": float("nan"), "data": {"text": text}, "warnings": []}
        return {"answer": text[::-1], "data": {"text": text}, "warnings": []}

    def explain(self, asked):
        self._pass()
        self.asked += asked
        if asked[0].input.text == "odd":
            return [UnsupportedError("the task must say why,\n got one that does not")]
        return [Shown(asked={}, answer="x", reason="nobody knows")]

    def _pass(self):
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        if self.wrong is not None:
            raise self.wrong


@contextmanager
def served(service, *, hosts=(), **limits):
    """A client of a server that has begun to listen; `client.server` and `client.engine` are it."""
    server = Server(service, Limits(**{"seconds": PATIENCE, **limits}), hosts=hosts)
    engine = engine_of(server)
    with listen("127.0.0.1", 0) as door:
        thread = threading.Thread(target=engine.run, args=([door],))
        thread.start()
        try:
            until(lambda: engine.started)
            with httpx.Client(base_url=address_of(door), timeout=PATIENCE) as client:
                client.server, client.engine = server, engine
                yield client
        finally:
            if isinstance(service, Mirror):
                service.gate.set()
            engine.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


def until(true):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
