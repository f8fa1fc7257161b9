"""What a request asks for: its body, read within limits and checked before anything is queued."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from heedful.errors import DataError
from heedful.serving.inputs import Input, Options, bodies, media_of, of_body, problem
from heedful.serving.limits import Intake, Limits, TooLargeError, TypeRefusedError

LARGE = 1 << 15  # bytes of JSON that are not read in the event loop


class Reader:
    """Reads requests; what one holds counts until its caller is done with it.

    Args:
        takes: Kinds of inputs of the task.
        examples: Held-out examples there are.
        limits: Of what is taken.

    Attributes:
        media: Content types that are taken, JSON first.
        predict: What `/predict` takes as JSON.
        explain: What `/explain` takes as JSON.
    """

    def __init__(self, takes: tuple[str, ...], examples: int, limits: Limits) -> None:
        self._takes, self._limits = takes, limits
        self._intake = Intake(limits.bytes)
        self.media = media_of(takes)
        self.predict, self.explain = bodies(takes, examples)

    @asynccontextmanager
    async def inputs(self, request: Request, *, until: float) -> AsyncGenerator[list[Input]]:
        """Read what is to be answered.

        Args:
            request: With one input as its body, or with JSON.
            until: When its body must be here.

        Raises:
            DataError: It is not what its type says.
            TypeRefusedError: It is of no type that is taken.
            HeedfulError: As `Intake.body` does.
        """
        async with self._intake.body(request, until=until) as body:
            given = self._whole(request, body)
            found = [given] if given else await _parsed(self.predict, body, _inputs)
            if len(found) > self._limits.queue:
                raise TooLargeError(
                    f"a request must have at most {self._limits.queue} inputs, got {len(found)}"
                )
            yield [self._short(each) for each in found]

    @asynccontextmanager
    async def question(
        self, request: Request, *, until: float
    ) -> AsyncGenerator[tuple[Input, Options]]:
        """Read what is to be explained, and how.

        Args:
            request: With one input as its body and options in its query, or with JSON.
            until: When its body must be here.

        Raises:
            HeedfulError: As `inputs` does.
        """
        async with self._intake.body(request, until=until) as body:
            given = self._whole(request, body)
            if given is None:
                given, options = await _parsed(self.explain, body, _question)
            else:
                try:
                    options = Options.model_validate(dict(request.query_params))
                except ValidationError as error:
                    raise DataError(problem(error)) from None
            yield self._short(given), options

    def _short(self, given: Input) -> Input:
        length, most = len(given.text or ""), self._limits.characters
        if length > most:
            raise TooLargeError(f"a text must have at most {most:,} characters, got {length:,}")
        return given

    def _whole(self, request: Request, body: bytes) -> Input | None:
        """The one input that a body is; `None` where it is JSON."""
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == self.media[0]:
            return None
        given = of_body(media, body, self._takes)
        if given is None:
            raise TypeRefusedError(
                f"the content type must be one of {', '.join(self.media)}, "
                f"got {media or 'none'!r:.80}"
            )
        return given


async def _parsed(model: type[BaseModel], body: bytes, made: Any) -> Any:
    """What JSON asks for.

    Raises:
        DataError: It is no JSON, or another than is taken.
    """

    def parsed() -> Any:
        return made(model.model_validate_json(body))

    try:
        return parsed() if len(body) < LARGE else await run_in_threadpool(parsed)
    except ValidationError as error:
        raise DataError(problem(error)) from None


def _inputs(asked: Any) -> list[Input]:
    return [each.input() for each in asked.inputs]


def _question(asked: Any) -> tuple[Input, Options]:
    options = {name: getattr(asked, name) for name in Options.model_fields}
    return asked.input.input(), Options(**options)
