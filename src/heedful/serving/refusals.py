"""What is said instead of an answer: a status, and one line."""

import logging

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from heedful.errors import HeedfulError
from heedful.serving.batching import FullError, StoppedError
from heedful.serving.limits import LateError, Limits, TooLargeError, TypeRefusedError

STATUS: dict[type[Exception], int] = {  # of all other errors of ours: 422
    TooLargeError: 413,
    TypeRefusedError: 415,
    LateError: 408,
    StoppedError: 503,
    FullError: 429,
}
LOG = logging.getLogger("heedful.serving")


def refusal(error: Exception, limits: Limits) -> Response:
    """Return what is said of an error: a status and a line.

    Args:
        error: Whatever was raised; what is none of ours and no lack of time is a bug, and logged.
        limits: Of the server.
    """
    if isinstance(error, HeedfulError):
        status = next((STATUS[kind] for kind in STATUS if isinstance(error, kind)), 422)
        line = " ".join(str(error).split())
        after = {"Retry-After": str(error.after)} if isinstance(error, FullError) else None
        return JSONResponse({"error": line}, status, after)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # nobody reads it
    if isinstance(error, MemoryError):
        return JSONResponse({"error": "an input must fit into memory, got one that does not"}, 413)
    if isinstance(error, TimeoutError):
        line = f"an answer must be there within {limits.seconds:g} seconds, got none so far"
        return JSONResponse({"error": line}, 504)
    LOG.error("a request failed", exc_info=error)
    return JSONResponse({"error": "this must not happen: the log of the server has it"}, 500)


async def as_line(request: Request, error: Exception) -> Response:
    """Return what the framework refuses, in our form: an unknown path, another method."""
    status, headers = 500, None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
    line = f"there must be something at {request.method} {request.url.path:.80}, got: {status}"
    return JSONResponse({"error": line}, status, headers)
