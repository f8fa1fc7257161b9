"""Processes of a federation start, are watched, and are gone afterwards, whatever happens.

Small programs stand for those of Flower, since heedful's tests need no network.
"""

import os
import sys
import time

import pytest

from heedful.errors import MissingExtraError, TrainingError, UnsupportedError
from heedful.federated import loopback
from heedful.federated.loopback import check_flower, run_on_loopback

SERVER = """\
import os, socket, sys, time
open("server.pid", "w").write(str(os.getpid()))
assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
assert open(os.environ["FLWR_HOME"] + "/config.toml").read().count("127.0.0.1") == 1
host, port = (sys.argv[sys.argv.index(name) + 1] for name in ("--host", "--port"))
listening = socket.create_server((host, int(port)))
#(sys.argv[sys.argv.index("--host") + 1], int(sys.argv[sys.argv.index("--port") + 1])))
time.sleep(60)
"""
CLIENT = """\
import os, sys, time
open(f"client.{os.getpid()}", "w").write(sys.argv[-1])
time.sleep(60)
"""
APP = """\
import sys, time
print("[ROUND 1/2]", flush=True)
time.sleep(0.6)
print("[ROUND 2/2]", flush=True)
time.sleep(0.6)
"""


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Write programs under Flower's names; they run in `tmp_path`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(loopback, "_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)

    def write(server=SERVER, client=CLIENT, app=APP):
        for name, text in (
            ("flower-superlink", server),
            ("flower-supernode", client),
            ("flwr", app),
        ):
            (folder / name).write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
            (folder / name).chmod(0o755)

    return write


@pytest.fixture
def start(tmp_path):
    def started(nodes=({"client": 0}, {"client": 1})):
        rounds, logs = [], tmp_path / "logs"
        logs.mkdir()
        run_on_loopback(tmp_path, nodes, logs=logs, on_round=lambda *given: rounds.append(given))
        return rounds

    return started


def all_gone(folder):
    """Are all processes that said their number ended?"""
    numbers = [int(path.suffix[1:]) for path in folder.glob("client.*")]
    numbers += [int(path.read_text()) for path in folder.glob("server.pid")]
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not any(os.path.exists(f"/proc/{number}") for number in numbers):
            return bool(numbers)
        time.sleep(0.1)
    return False


def test_rounds_are_told_and_every_process_is_gone(commands, start, tmp_path):
    commands()
    assert start() == [(1, 2), (2, 2)]
    settings = sorted(path.read_text() for path in tmp_path.glob("client.*"))
    assert settings == ["client=0", "client=1"]
    assert all_gone(tmp_path)


def test_a_server_that_ends_is_told_with_its_last_word(commands, start):
    commands(server="raise SystemExit('no port is free')")
    with pytest.raises(TrainingError, match="server must run, got no port is free"):
        start()


def test_a_client_that_ends_ends_the_whole(commands, start, tmp_path):
    commands(client=CLIENT.replace("time.sleep(60)", "raise SystemExit('no such run')"))
    with pytest.raises(TrainingError, match="client-0 must run until the end, got: no such run"):
        start()
    assert all_gone(tmp_path)


def test_an_app_that_fails_is_told(commands, start, tmp_path):
    commands(app="raise SystemExit('the app is not valid')")
    with pytest.raises(TrainingError, match="app must run to its end, got: the app is not valid"):
        start()
    assert all_gone(tmp_path)


def test_a_server_that_never_listens_is_not_waited_for_for_ever(commands, start, monkeypatch):
    monkeypatch.setattr(loopback, "PATIENCE", 0.5)
    commands(server="import time; time.sleep(60)")
    with pytest.raises(TrainingError, match="server must listen within 0 s, got no word"):
        start()


def test_an_installation_without_flower_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(loopback, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"needs flwr, got .* pip install 'heedful\[federated\]'"
    ):
        check_flower()


def test_on_windows_it_says_at_once_that_it_cannot(monkeypatch):
    monkeypatch.delattr(os, "killpg")
    with pytest.raises(UnsupportedError, match="must run on Linux or macOS, got"):
        check_flower()
