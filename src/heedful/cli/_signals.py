"""SIGTERM as an exception, so that a command can say how to go on and clean up."""

import signal
import threading
from types import FrameType

TERMINATED = 143  # 128 + SIGTERM


class Terminated(SystemExit):
    """SIGTERM was received."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


STOPS = (KeyboardInterrupt, Terminated)  # what ends a long work from outside


def raise_on_sigterm() -> None:
    """Let SIGTERM raise `Terminated`, where nobody has decided otherwise."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated
