"""Ctrl-C and SIGTERM, heard between two steps instead of in the middle of one."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """What was asked for from outside and not yet obeyed: `number` of the signal, 0 for none."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    @contextmanager
    def heard(self) -> Generator[None]:
        """Take notes meanwhile; whoever asks for a second time is obeyed at once.

        Only the main thread can, and what is ignored stays ignored.
        """
        if threading.current_thread() is threading.main_thread():
            for sign in SIGNALS:
                if signal.getsignal(sign) not in (None, signal.SIG_IGN):
                    self._before[sign] = signal.signal(sign, self._note)
        try:
            yield
        finally:
            for sign, handler in self._before.items():
                signal.signal(sign, handler)
            self._before.clear()

    def obey(self, number: int) -> None:
        """Do what a signal would have done at once.

        Raises:
            KeyboardInterrupt: It is SIGINT, and nobody has decided otherwise.
            SystemExit: It is SIGTERM, and nobody has decided otherwise.
        """
        self.number = 0
        handler = self._before.get(number, signal.SIG_DFL)
        if callable(handler):
            handler(number, None)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            self.obey(number)
        else:
            self.number = number
