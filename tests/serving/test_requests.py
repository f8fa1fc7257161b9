import asyncio
import json
from time import monotonic

import pytest
from starlette.requests import Request

from heedful.errors import DataError
from heedful.serving.inputs import Input, Options
from heedful.serving.limits import Limits, TooLargeError, TypeRefusedError
from heedful.serving.requests import LARGE, Reader

LIMITS = Limits(queue=4, bytes=10 * LARGE, characters=5)


def request(body, media="application/json", query=""):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": query.encode()}
    return Request(scope, receive)


def read(how, asked, takes=("text",)):
    reader = Reader(takes, 3, LIMITS)

    async def ask():
        async with getattr(reader, how)(asked, until=monotonic() + 20) as found:
            return found

    return asyncio.run(ask())


def plain(value):
    return json.dumps(value).encode()


def test_json_and_what_is_the_input_itself():
    assert read("inputs", request(plain({"inputs": ["a", "b"]}))) == [
        Input(text="a"),
        Input(text="b"),
    ]
    assert read("inputs", request(b"a", "Text/Plain; charset=utf-8")) == [Input(text="a")]


def test_large_json_is_the_same():
    padded = plain({"inputs": ["a"]}) + b" " * LARGE
    assert read("inputs", request(padded)) == [Input(text="a")]


def test_options_stand_in_json_or_in_the_query():
    wanted = Input(text="a"), Options(method="rollout", draws=7, test=False)
    body = plain({"input": "a", "method": "rollout", "draws": 7, "test": False})
    assert read("question", request(body)) == wanted
    query = "method=rollout&draws=7&test=false"
    assert read("question", request(b"a", "text/plain", query)) == wanted
    with pytest.raises(DataError, match=r"draws must be as /openapi\.json says"):
        read("question", request(b"a", "text/plain", "draws=0"))


def test_what_is_too_much():
    with pytest.raises(TooLargeError, match="must have at most 4 inputs, got 5"):
        read("inputs", request(plain({"inputs": ["a"] * 5})))
    words = "a text must have at most 5 characters, got 6"
    for how, asked in (("inputs", {"inputs": ["a" * 6]}), ("question", {"input": "a" * 6})):
        with pytest.raises(TooLargeError, match=words):
            read(how, request(plain(asked)))


def test_another_type():
    with pytest.raises(
        TypeRefusedError, match="one of application/json, image/png, image/jpeg, got"
    ):
        read("inputs", request(b"a", "text/plain"), takes=("image",))
