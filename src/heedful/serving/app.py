"""The application: what is asked over HTTP is queued, and answered or refused in one line."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from time import monotonic
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from heedful.errors import DataError, HeedfulError, UnsupportedError
from heedful.report.run_page.data import Shown
from heedful.serving.batching import Batcher, Work, answered
from heedful.serving.direct import Direct
from heedful.serving.limits import Limits
from heedful.serving.metrics import TYPE, Metrics
from heedful.serving.openapi import describe
from heedful.serving.origins import OwnOrigin
from heedful.serving.page import Page
from heedful.serving.refusals import as_line, refusal
from heedful.serving.requests import Reader
from heedful.serving.service import Asked, Service
from heedful.texts import finite

Respond = Callable[[Request, float], Awaitable[Response]]


class Server:
    """A service behind HTTP.

    Args:
        service: Answers.
        limits: Of what is taken.
        hosts: Names under which it is asked; see `OwnOrigin`.
        failed: Called where the first answer of all cannot be given, with the reason.

    Attributes:
        app: The application, for any ASGI server.
    """

    def __init__(
        self,
        service: Service,
        limits: Limits,
        *,
        hosts: Sequence[str] = (),
        failed: Callable[[BaseException], object] = lambda _: None,
    ) -> None:
        self.service, self.limits, self._failed = service, limits, failed
        self.reader = Reader(service.takes, len(service.examples), limits)
        self.batcher = Batcher(limits.queue, heard=self._worked)
        self.metrics = Metrics(self.batcher.depth, limits.batch)
        self._predicting = Work(service.predict, most=limits.batch, wait=limits.wait)
        self._explaining = Work(service.explain)
        self._ready = False
        config, examples = service.run.config, len(service.examples)
        self.page = Page(str(service.run.folder), config.task, service.takes, examples)
        self.app = self._application(tuple(hosts))

    def _application(self, hosts: tuple[str, ...]) -> ASGIApp:
        app = FastAPI(
            title=f"heedful serve: {self.service.run.config.task}",
            version=version("heedful"),
            docs_url=None,  # their scripts come from another host
            redoc_url=None,
            lifespan=self._lifespan,
        )
        predict = self._counted("/predict", self._predict)
        app.add_route("/predict", predict, methods=["POST"])  # for whoever asks for another method
        app.add_route("/explain", self._counted("/explain", self._explain), methods=["POST"])
        app.add_route("/page/explain", self._counted("/explain", self._show), methods=["POST"])
        app.add_api_route("/", self._page)
        app.add_api_route("/healthz", self._healthz)
        app.add_api_route("/metrics", self._metrics)
        app.add_exception_handler(HTTPException, as_line)
        describe(app, self.reader)
        return OwnOrigin(Direct(app, {("POST", "/predict"): predict}), hosts)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncGenerator[None]:
        self.batcher.start()
        first = Work(lambda _: [self.service.warm_up()])
        [warm] = self.batcher.put(first, [None], until=float("inf"))
        warm.add_done_callback(self._warmed_up)
        try:
            yield
        finally:
            self.batcher.close()
            await run_in_threadpool(self.batcher.join)

    def _warmed_up(self, done: "asyncio.Future[None]") -> None:
        error = None if done.cancelled() else done.exception()
        self._ready = error is None
        if error is not None:
            self._failed(error)

    def _worked(self, inputs: int, seconds: float) -> None:
        self.metrics.worked(inputs, seconds)

    # ---- what is asked ---------------------------------------------------------------------------

    async def _predict(self, request: Request, until: float) -> Response:
        self.batcher.check()
        async with self.reader.inputs(request, until=until) as inputs:
            found = await self._done(self._predicting, inputs, until)
        for number, each in enumerate(found):
            if isinstance(each, HeedfulError):
                raise each if len(found) == 1 else DataError(f"inputs.{number}: {each}")
        # ten times as fast as json, which takes longer for many numbers than all else that is done
        body = to_json({"answers": found}, inf_nan_mode="null")  # JSON has no word for others
        return Response(body, media_type=self.reader.media[0])

    async def _explain(self, request: Request, until: float) -> Response:
        shown = await self._explained(request, until, picture=False)
        found = shown.explanation
        if found is None:
            raise UnsupportedError(shown.reason)
        plain = await run_in_threadpool(lambda: finite(found.to_json()))
        return JSONResponse({"answer": shown.answer, "explanation": plain})

    async def _show(self, request: Request, until: float) -> Response:
        shown = await self._explained(request, until, picture=True)
        language = _language(request)
        part = await run_in_threadpool(lambda: self.page.answer(shown, language))
        return HTMLResponse(part, headers=self.page.headers)

    async def _explained(self, request: Request, until: float, *, picture: bool) -> Shown:
        self.batcher.check()
        async with self.reader.question(request, until=until) as (given, options):
            asked = Asked(given, options, picture=picture)
            [found] = await self._done(self._explaining, [asked], until)
        if isinstance(found, HeedfulError):
            raise found
        return found

    async def _page(self, request: Request) -> Response:
        address = f"{request.url.scheme}://{request.url.netloc}"
        try:
            whole = self.page.whole(_language(request), address)
        except HeedfulError as error:
            return refusal(error, self.limits)
        return HTMLResponse(whole, headers=self.page.headers)

    async def _healthz(self) -> Response:
        status = "ready" if self._ready else "warming up"
        return JSONResponse({"status": status}, 200 if self._ready else 503)

    async def _metrics(self) -> Response:
        return Response(self.metrics.text(), media_type=TYPE)

    # ---- how -------------------------------------------------------------------------------------

    def _counted(self, path: str, respond: Respond) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint whose refusals are one line each, and which is counted."""

        async def endpoint(request: Request) -> Response:
            begun = monotonic()
            try:
                response = await respond(request, begun + self.limits.seconds)
            except Exception as error:
                response = refusal(error, self.limits)
            self.metrics.answered(path, response.status_code, monotonic() - begun)
            return response

        return endpoint

    async def _done(self, work: Work, inputs: Sequence[Any], until: float) -> list[Any]:
        """Results of inputs; an error of ours stands for what it is about.

        Raises:
            TimeoutError: They are not there in time.
        """
        return await answered(self.batcher.put(work, inputs, until=until), until=until)


def _language(request: Request) -> str:
    """The language that a page is asked for in; else the one that its reader prefers."""
    preferred = request.headers.get("accept-language", "").strip().lower()
    return request.query_params.get("lang", "zh" if preferred.startswith("zh") else "en")
