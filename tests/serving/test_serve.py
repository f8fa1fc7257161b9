"""The command as a process of its own: stopped while it works, and where it cannot begin."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from tests.serving.running import PATIENCE, until

from heedful.errors import DataError
from heedful.serving.limits import Limits
from heedful.serving.listening import listen
from heedful.serving.serve import serve_on

RUN = Path(__file__).parents[1] / "training" / "fixtures" / "translation" / "transformer"


@pytest.fixture
def process():
    words = [sys.executable, "-m", "heedful", "serve", str(RUN), "--port", "0", "--batch", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()


def ready(process):
    said = process.stderr.readline()
    assert said.startswith(f"Serving {RUN} at http://127.0.0.1:")
    address = said.split()[3]
    until(lambda: httpx.get(f"{address}/healthz").status_code == 200)
    return address


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_begun_and_leaves_with_0(process, stop):
    address = ready(process)
    said = []

    def ask():
        body = {"inputs": ["one two three"] * 50}
        said.append(httpx.post(f"{address}/predict", json=body, timeout=PATIENCE))

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: "heedful_queue_inputs 0.0" not in httpx.get(f"{address}/metrics").text)
    process.send_signal(stop)
    assert process.wait(PATIENCE) == 0
    thread.join()
    assert said[0].status_code == 200
    assert len(said[0].json()["answers"]) == 50
    assert process.stderr.read() == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")


class Broken:
    """A run whose held-out examples are gone."""

    takes, examples = ("text",), ()

    class run:
        folder = "runs/broken"

        class config:
            task = "broken"

    def predict(self, inputs):
        raise AssertionError

    explain = predict

    def warm_up(self):
        raise DataError("an image must be there, got none")


def test_a_run_that_cannot_answer_is_not_served():
    said = []
    with listen("127.0.0.1", 0) as door, pytest.raises(DataError, match="must be there, got none"):
        serve_on(door, Broken(), Limits(), tell=said.append)
    assert [each.split(" at ")[0] for each in said] == ["Serving runs/broken"]


def test_who_can_reach_it_is_said():
    said = []
    with listen("0.0.0.0", 0) as door, pytest.raises(DataError):
        serve_on(door, Broken(), Limits(), tell=said.append)
    assert said[1] == (
        "heedful: 0.0.0.0 is reached from other machines, and nobody is asked who they are"
    )
