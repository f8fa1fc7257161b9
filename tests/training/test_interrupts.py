"""Ctrl-C and SIGTERM wait for the end of a step, and a second one does not."""

import os
import signal
import threading

import pytest

from heedful.training.interrupts import Interrupts


@pytest.fixture(autouse=True)
def defaults():
    """Handlers as a shell gives them, and afterwards those of the test run."""
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


@pytest.mark.parametrize("number, kind", [(signal.SIGINT, KeyboardInterrupt), (15, SystemExit)])
def test_the_first_is_noted_and_the_second_obeyed(number, kind):
    interrupts = Interrupts()
    with interrupts.heard():
        os.kill(os.getpid(), number)
        assert interrupts.number == number
        with pytest.raises(kind) as left:
            os.kill(os.getpid(), number)
    assert kind is KeyboardInterrupt or left.value.code == 143
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_those_who_listen_already_hear_it_between_two_steps():
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("theirs"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts = Interrupts()
    with interrupts.heard():
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.number == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == []
        interrupts.obey(interrupts.number)
        assert heard == ["theirs"]
        assert interrupts.number == 0, "whoever does not want to end goes on"
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == ["theirs"] * 2


def test_beside_the_main_thread_nothing_is_heard():
    failed = []

    def work():
        try:
            with Interrupts().heard():
                assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed


def test_what_another_process_was_asked_for():
    with pytest.raises(KeyboardInterrupt):
        Interrupts().obey(signal.SIGINT)
    with pytest.raises(SystemExit, match="143"):
        Interrupts().obey(signal.SIGTERM)
