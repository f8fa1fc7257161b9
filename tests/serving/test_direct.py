"""Paths that are asked often are answered directly, all else by the application."""

import asyncio

import pytest
from starlette.responses import PlainTextResponse

from heedful.serving.direct import Direct


async def application(scope, receive, send):
    await PlainTextResponse("application")(scope, receive, send)


async def endpoint(request):
    return PlainTextResponse(f"direct {request.url.query}")


def asked(**scope):
    """The body of the answer to a request."""
    sent = []

    async def send(message):
        sent.append(message.get("body", b""))

    direct = Direct(application, {("POST", "/one"): endpoint})
    given = {"type": "http", "headers": [], "query_string": b"x=1", "server": ("here", 1)}
    asyncio.run(direct(given | scope, None, send))
    return b"".join(sent).decode()


@pytest.mark.parametrize(
    "method, path, said",
    [
        ("POST", "/one", "direct x=1"),
        ("GET", "/one", "application"),
        ("POST", "/one/", "application"),
        ("POST", "/two", "application"),
    ],
)
def test_one_method_of_one_path_is_answered_directly(method, path, said):
    assert asked(method=method, path=path) == said


def test_what_is_no_request_is_left_to_the_application():
    heard = []

    async def lifespan(scope, receive, send):
        heard.append(scope)

    asyncio.run(Direct(lifespan, {})({"type": "lifespan"}, None, None))
    assert heard == [{"type": "lifespan"}]
