import asyncio
from time import monotonic

import pytest
from starlette.requests import Request

from heedful.serving import limits
from heedful.serving.batching import FullError
from heedful.serving.limits import (
    FILE_BYTES,
    HELD,
    TEXT_BYTES,
    Intake,
    LateError,
    TooLargeError,
    largest_body,
)


def request(*parts, length=None, forever=False):
    """A request whose body comes in parts; then nothing, where it is to take for ever."""
    left = list(parts)

    async def receive():
        if not left and forever:
            await asyncio.sleep(60)
        part = left.pop(0) if left else b""
        return {"type": "http.request", "body": part, "more_body": bool(left) or forever}

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def read(intake, asked, *, seconds=20.0):
    async with intake.body(asked, until=monotonic() + seconds) as body:
        return body


def test_a_body_of_the_largest_size_is_read_whole():
    assert asyncio.run(read(Intake(6), request(b"abc", b"def", length=6))) == b"abcdef"
    assert asyncio.run(read(Intake(6), request(b"abc", b"def"))) == b"abcdef"


@pytest.mark.parametrize("length", [None, 7, 10**30, "x", "²"])
def test_a_larger_one_is_not(length):
    with pytest.raises(TooLargeError, match="a body must have at most 6 bytes, got "):
        asyncio.run(read(Intake(6), request(b"abc", b"defg", length=length)))


def test_one_that_does_not_come():
    with pytest.raises(LateError, match="must arrive in time, got 3 bytes of it"):
        asyncio.run(read(Intake(6), request(b"abc", forever=True), seconds=0.01))


def test_all_that_is_held_is_bounded_and_given_back():
    intake = Intake(10)

    async def ask():
        async with asyncio.TaskGroup() as group:
            may = asyncio.Event()

            async def hold():
                async with intake.body(request(b"x" * 10, length=10), until=monotonic() + 20):
                    await may.wait()

            for _ in range(HELD):
                group.create_task(hold())
            await asyncio.sleep(0.01)
            with pytest.raises(FullError, match="at most 160 bytes of bodies must be held"):
                await read(intake, request(b"y", length=1))
            may.set()
        return await read(intake, request(b"y", length=1))

    assert asyncio.run(ask()) == b"y"
    assert intake._held == 0


def test_a_sender_that_never_ends_is_not_listened_to_for_ever(monkeypatch):
    monkeypatch.setattr(limits, "LINGER", 0.01)
    with pytest.raises(TooLargeError):
        asyncio.run(read(Intake(2), request(b"abc", length=3, forever=True)))


def test_texts_are_small_and_files_large():
    assert largest_body(("text",)) == largest_body(("sequence",)) == TEXT_BYTES
    assert largest_body(("image", "text")) == largest_body(("rows",)) == FILE_BYTES
