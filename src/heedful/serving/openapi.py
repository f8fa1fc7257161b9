"""What a program must know to ask: `/openapi.json`, of this run and no other."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from heedful.serving.requests import Reader

Models = dict[str, tuple[type[BaseModel], type[BaseModel]]]  # path -> asked, answered
WORDS = {
    "/predict": (
        "Answer inputs.",
        "`answer` is what `heedful predict` prints, `data` what it prints with `--json`. One input "
        "that cannot be used refuses all of its request, with its place in the list.",
    ),
    "/explain": (
        "Answer one input, and say which of its pieces the answer rests on.",
        "`explanation` is what `heedful explain --json` prints; with `test` it has a verdict. "
        "Where the body is the input itself, options are query parameters.",
    ),
    "/healthz": ("Is the server ready? 503 until it has answered a first input.", ""),
    "/metrics": ("Counters for Prometheus.", ""),
}
REFUSALS = {
    408: "The body did not arrive in time.",
    413: "The body is too large, or has too many inputs.",
    415: "No such content type is taken.",
    422: "The input cannot be used; `error` says what must hold, and what was got.",
    429: "Too much waits already; `Retry-After` says in how many seconds to try again.",
    503: "The server stops.",
    504: "The answer was not there in time.",
}


class Answer(BaseModel):
    """The answer to one input."""

    answer: str
    data: dict[str, Any]
    warnings: list[str]


class Answers(BaseModel):
    """Answers, in the order of the inputs."""

    answers: list[Answer]


class Explained(BaseModel):
    """An answer, and why."""

    answer: str
    explanation: dict[str, Any]


class Refusal(BaseModel):
    """Why there is no answer, in one line."""

    error: str


def describe(app: FastAPI, reader: Reader) -> None:
    """Let an application say what its reader takes.

    Args:
        app: What is described.
        reader: Of its requests.
    """
    asked: Models = {
        "/predict": (reader.predict, Answers),
        "/explain": (reader.explain, Explained),
    }
    kept: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not kept:
            kept.update(_document(app, asked, reader.media))
        return kept

    app.openapi = document


def _document(app: FastAPI, asked: Models, media: Sequence[str]) -> dict[str, Any]:
    models = [*(model for pair in asked.values() for model in pair), Refusal]
    where, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, Any] = {}
    for path, (summary, description) in WORDS.items():
        said: dict[str, Any] = {"summary": summary, "description": description}
        if path in asked:
            body, answer = (where[model, "validation"] for model in asked[path])
            files = {name: {"schema": {"type": "string"}} for name in media[1:]}
            said["requestBody"] = {
                "required": True,
                "content": {media[0]: {"schema": body}, **files},
            }
            said["responses"] = _responses(answer, where[Refusal, "validation"])
        else:
            said["responses"] = {"200": {"description": "Yes."}}
        paths[path] = {"post" if path in asked else "get": said}
    return {
        "openapi": "3.1.0",
        "info": {"title": app.title, "version": app.version},
        "paths": paths,
        "components": {"schemas": definitions.get("$defs", {})},
    }


def _responses(answer: dict[str, Any], refusal: dict[str, Any]) -> dict[str, Any]:
    found = {"200": {"description": "Done.", "content": _json(answer)}}
    for status, words in REFUSALS.items():
        found[str(status)] = {"description": words, "content": _json(refusal)}
    return found


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
