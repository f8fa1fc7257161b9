"""Processes with a script in the place of the real worker: quick, and able to misbehave."""

import os
import re
import signal
import time

import pytest

from heedful.errors import RunError, UnsupportedError
from heedful.tuning import pool as module
from heedful.tuning.pool import Pool, check_pipes, cores

HEAD = """
import json, os, sys, time
def send(**message):
    print(json.dumps(message), flush=True)
print("hello", os.environ["OMP_NUM_THREADS"], file=sys.stderr, flush=True)
"""
ECHO = """
send(kind="ready")
for line in sys.stdin:
    command = json.loads(line)
    if command["kind"] == "die":
        print("my last words", file=sys.stderr, flush=True)
        os._exit(3)
    if command["kind"] == "sleep":
        time.sleep(600)
    if command["kind"] == "twice":
        send(kind="half", pid=os.getpid())
    send(kind="whole", pid=os.getpid(), text=command.get("text"), path=sys.path[0])
"""


@pytest.fixture
def script(monkeypatch):
    def use(text):
        monkeypatch.setattr(module, "COMMAND", ("-c", HEAD + text))
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    return use


def ready(pool, count):
    while len(pool.free()) < count:
        assert pool.receive() == []
    return pool.free()


def collected(pool, count):
    found = []
    while len(found) < count:
        found += pool.receive()
    return found


def test_workers_work_at_the_same_time_and_leave_with_the_pool(script, tmp_path, alive):
    script(ECHO)
    with Pool(tmp_path, workers=2, threads=3) as pool:
        first, second = ready(pool, 2)
        assert not pool.waiting()
        pool.give(first, {"kind": "twice", "text": "一"})
        pool.give(second, {"kind": "once", "text": "b"})
        assert pool.waiting()
        assert pool.free() == []
        told = collected(pool, 3)
        by = {worker: [one for who, one in told if who is worker] for worker in (first, second)}
        assert [one["kind"] for one in by[first]] == ["half", "whole"]
        assert [one["kind"] for one in by[second]] == ["whole"]
        assert by[first][1]["text"] == "一"
        pids = {one["pid"] for _, one in told}
        assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    logs = sorted(path.read_text() for path in tmp_path.iterdir())
    assert logs == ["hello 3\n", "hello 3\n"]


def test_ask_waits_for_one_answer(script, tmp_path):
    script(ECHO)
    with Pool(tmp_path, workers=2) as pool:
        first, second = ready(pool, 2)
        pool.give(second, {"kind": "once"})
        assert pool.ask(first, {"kind": "once", "text": "mine"})["text"] == "mine"
        assert not first.busy


def test_threads_share_the_cores_and_the_environment_has_the_last_word(
    script, tmp_path, monkeypatch
):
    script(ECHO)
    monkeypatch.setattr(module, "cores", lambda: 7)
    assert Pool(tmp_path, workers=2).threads == 3
    assert Pool(tmp_path, workers=9).threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    with Pool(tmp_path, workers=1) as pool:
        ready(pool, 1)
    assert (tmp_path / "worker-1.log").read_text() == "hello 5\n"
    assert cores() >= 1


def test_files_beside_the_user_are_not_loaded(script, tmp_path, monkeypatch):
    script(ECHO)
    monkeypatch.chdir(tmp_path)
    with Pool(tmp_path, workers=1) as pool:
        (worker,) = ready(pool, 1)
        assert pool.ask(worker, {"kind": "once"})["path"] not in ("", str(tmp_path))


def test_whoever_dies_is_told_and_replaced(script, tmp_path):
    script(ECHO)
    with Pool(tmp_path, workers=1) as pool:
        (worker,) = ready(pool, 1)
        message = pool.ask(worker, {"kind": "die"})
        assert message["kind"] == "died"
        words = r"ended with exit code 3; the last line of .*: my last words"
        assert re.search(words, message["reason"])
        (other,) = ready(pool, 1)
        assert other is not worker
        assert pool.ask(other, {"kind": "once"})["kind"] == "whole"
        os.kill(other.process.pid, signal.SIGKILL)
        other.process.wait()
        other.send({"kind": "once"})  # too late, and no error
        ((_, message),) = collected(pool, 1)
        assert "ended with SIGKILL" in message["reason"]
        other.send({"kind": "once"})  # later still


def test_whoever_never_starts_is_an_error(script, tmp_path):
    script("raise SystemExit('no library')")
    with (
        pytest.raises(RunError, match=r"workers must start, got one that did not: .*no library"),
        Pool(tmp_path, workers=2) as pool,
    ):
        collected(pool, 1)


def test_an_interrupt_leaves_nobody_behind(script, tmp_path, monkeypatch, alive):
    script(ECHO)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    pids = []

    def interrupted():
        with Pool(tmp_path, workers=2) as pool:
            for worker in ready(pool, 2):
                pids.append(worker.process.pid)
                pool.give(worker, {"kind": "sleep"})  # does not hear that stdin ends
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - began < 60
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


def test_a_pool_that_cannot_be_filled_leaves_nobody_behind(script, tmp_path, monkeypatch):
    script(ECHO)
    hired = []
    honest = module.Worker

    def once(log, *, threads):
        if hired:
            raise OSError("no more processes")
        hired.append(honest(log, threads=threads))
        return hired[0]

    monkeypatch.setattr(module, "Worker", once)
    with pytest.raises(OSError, match="no more processes"), Pool(tmp_path, workers=2):
        pass
    assert hired[0].process.poll() is not None


def test_on_windows_it_says_at_once_that_it_cannot(monkeypatch):
    check_pipes()
    monkeypatch.setattr(module.sys, "platform", "win32")
    with pytest.raises(UnsupportedError, match="a search must run on Linux or macOS, got Windows"):
        check_pipes()
