"""How much callers may ask for: bytes and seconds of a request, inputs and bytes at once."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from starlette.requests import ClientDisconnect, Request

from heedful.errors import HeedfulError
from heedful.serving.batching import FullError
from heedful.serving.inputs import TEXTS

TEXT_BYTES = 1 << 20
FILE_BYTES = 1 << 23
HELD = 16  # largest bodies that are held at once
LINGER = 2.0  # seconds that a body which is refused is still read, so that its sender sees why
LINGER_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes.

    Args:
        batch: Inputs that are answered together.
        wait: Seconds that an input waits for others to come.
        queue: Inputs that may wait.
        bytes: Of the body of a request.
        characters: Of one text or sequence: attention takes time with the square of its length.
        seconds: From the beginning of a request to its answer.
    """

    batch: int = 32
    wait: float = 0.005
    queue: int = 256
    bytes: int = FILE_BYTES
    characters: int = 10_000
    seconds: float = 60.0


def largest_body(takes: Sequence[str]) -> int:
    """Return how many bytes a body has at most where nobody says: less where it holds texts."""
    return TEXT_BYTES if set(takes) <= set(TEXTS) else FILE_BYTES


class TooLargeError(HeedfulError, ValueError):
    """A body, or the number of its inputs, is beyond a limit."""


class TypeRefusedError(HeedfulError, ValueError):
    """A body has a content type that is not taken."""


class LateError(HeedfulError, TimeoutError):
    """A body did not arrive in time."""


class Intake:
    """Bodies that are being read, and those whose answers are not yet made.

    Together they hold no more than `HELD` bodies of the largest size do, however many callers
    there are.

    Args:
        most: Bytes of one body.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request, *, until: float) -> AsyncGenerator[bytes]:
        """Read a body, and count it until the caller is done with it.

        Args:
            request: Whose body it is.
            until: When it must be here, as `time.monotonic` counts.

        Raises:
            TooLargeError: It is too large.
            FullError: Others hold too much.
            LateError: It does not come.
        """
        said = request.headers.get("content-length", "")
        size = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else self.most
        if size > self.most:
            await _linger(request)
            raise TooLargeError(f"a body must have at most {self.most:,} bytes, got {size:,}")
        if self._held + size > HELD * self.most:
            await _linger(request)
            raise FullError(f"at most {HELD * self.most:,} bytes of bodies must be held", after=1)
        self._held += size
        try:
            yield await self._read(request, until)
        finally:
            self._held -= size

    async def _read(self, request: Request, until: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(max(0.0, until - monotonic())):
                async for part in request.stream():
                    size += len(part)
                    if size > self.most:
                        break
                    parts.append(part)
        except TimeoutError:
            raise LateError(f"a body must arrive in time, got {size:,} bytes of it") from None
        if size > self.most:
            await _linger(request)
            raise TooLargeError(f"a body must have at most {self.most:,} bytes, got more")
        return b"".join(parts)


async def _linger(request: Request) -> None:
    """Read on without keeping anything: a sender whose line is cut never sees the reason."""
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except (TimeoutError, ClientDisconnect):
        return
