"""What callers send: texts, files and rows, as a task parses them; a path is never taken."""

import base64
import binascii
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)

from heedful.data.sequences import is_fasta
from heedful.errors import DataError
from heedful.serving.unpacked import check_unpacked

TEXTS = ("text", "sequence")
MOST_PATHS = 10  # of each target, each of which takes 17 copies of the input
# kind -> content types of a body that is one input, each with the suffix that its file gets
MEDIA: Mapping[str, Mapping[str, str]] = {
    "text": {"text/plain": ""},
    "sequence": {"text/plain": ""},
    "image": {"image/png": ".png", "image/jpeg": ".jpg"},
    "sound": {
        **dict.fromkeys(("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"), ".wav"),
        **dict.fromkeys(("audio/flac", "audio/x-flac"), ".flac"),
    },
    "video": dict.fromkeys(("application/x-npz", "application/zip"), ".npz"),
    "rows": {"text/csv": ".csv", "text/tab-separated-values": ".tsv"},
}
# how files begin -> their suffix, for those that come without a type
MAGIC = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"RIFF": ".wav", b"fLaC": ".flac", b"PK": ".npz"}


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input.

    Args:
        text: Where one was given, or a sequence.
        files: Kind -> suffix and content.
        index: Of a held-out example of the test split that stands for all that.
    """

    text: str | None = None
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    index: int | None = None


# ---- JSON ---------------------------------------------------------------------------------------


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise DataError("a file must be written in base64, got something else") from None


def _letters(text: str) -> str:
    """A sequence, which must not be the name of a file: the task would read that."""
    if is_fasta(text.strip()):
        raise DataError(f"a sequence must be letters, got the name of a file, {text.strip()!r:.80}")
    return text


def _alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for number, row in enumerate(rows):
        if not row or list(row) != list(rows[0]):
            raise DataError(f"rows must have equal columns, got others in row {number}")
    return rows


_File = Annotated[
    bytes,
    BeforeValidator(_decoded),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
_Rows = Annotated[
    list[dict[str, str | int | FiniteFloat | None]],
    AfterValidator(_alike),
    Field(min_length=1, description="Rows of a table, the oldest first: column to value."),
]
_TYPES: Mapping[str, Any] = {
    "text": Annotated[str, Field(description="As `heedful predict` takes it.")],
    "sequence": Annotated[str, AfterValidator(_letters), Field(description="Letters.")],
    "image": Annotated[_File, Field(description="A PNG or JPEG file.")],
    "sound": Annotated[_File, Field(description="A WAV or FLAC file.")],
    "video": Annotated[_File, Field(description="An NPZ file, whose first video is read.")],
    "rows": _Rows,
    "table": Annotated[str, Field(description="The same as CSV or TSV, its first line a header.")],
}


class _Object(BaseModel):
    """An input as JSON: an object, or, where a text will do, that text."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        name = next((name for name in TEXTS if name in cls.model_fields), None)
        return {name: value} if name is not None and isinstance(value, str) else value

    @model_validator(mode="after")
    def _something(self) -> "_Object":
        given = self.model_fields_set
        if not given or ("index" in given and len(given) > 1):
            names = [name for name in type(self).model_fields if name != "index"]
            or_index = ", or an index alone" if "index" in type(self).model_fields else ""
            raise DataError(
                f"an input must have {' or '.join(names)}{or_index}, "
                f"got {' and '.join(sorted(given)) or 'none'}"
            )
        return self

    def input(self) -> Input:
        """Return it as every other part of this folder knows it."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        files = {
            kind: (_suffix(kind, value), value)
            for kind, value in given.items()
            if isinstance(value, bytes)
        }
        if given.get("rows") is not None:
            files["rows"] = (".csv", _table(given["rows"]))
        if given.get("table") is not None:
            header = given["table"].partition("\n")[0]
            files["rows"] = (".tsv" if "\t" in header else ".csv", given["table"].encode())
        text = next((given[name] for name in TEXTS if name in given), None)
        return Input(text=text, files=files, index=given.get("index"))


class Options(BaseModel):
    """How an answer is explained, as for `heedful explain`."""

    model_config = ConfigDict(extra="forbid")

    method: str | None = None
    site: str | None = None
    head: Annotated[int, Field(ge=0, le=10**9)] | None = None
    test: bool = True
    draws: Annotated[int, Field(ge=1, le=2_000)] = 200
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    paths: Annotated[int, Field(ge=0, le=MOST_PATHS)] = 0


def bodies(takes: Sequence[str], examples: int) -> tuple[type[BaseModel], type[BaseModel]]:
    """Return what `/predict` and `/explain` take as JSON.

    Args:
        takes: Kinds of inputs of the task.
        examples: Held-out examples there are.
    """
    named = [name for kind in takes for name in ((kind, "table") if kind == "rows" else (kind,))]
    fields: dict[str, Any] = {name: (_TYPES[name], None) for name in named}
    if examples:
        index = Field(ge=0, lt=examples, description="A held-out example of the test split.")
        fields["index"] = (Annotated[int, index], None)
    one: Any = create_model("Input", __base__=_Object, **fields)
    many: Any = Annotated[list[one], Field(min_length=1)]
    predict = create_model("Predict", __config__=ConfigDict(extra="forbid"), inputs=(many, ...))
    explain = create_model("Explain", __base__=Options, input=(one, ...))
    return predict, explain


def problem(error: ValidationError) -> str:
    """Say in one line what is wrong with a request: what stands first in it."""
    first = error.errors(include_url=False, include_input=False)[0]
    cause = first.get("ctx", {}).get("error")
    where = ".".join(str(part) for part in first["loc"])
    if isinstance(cause, DataError):
        return f"{where}: {cause}" if where else str(cause)
    said = first["msg"].replace("\n", " ")
    return f"{where or 'the body'} must be as /openapi.json says, got: {said:.200}"


# ---- a body that is one input -------------------------------------------------------------------


def of_body(media: str, body: bytes, takes: Sequence[str]) -> Input | None:
    """Return the one input that a body is; `None` where none of its type is taken.

    Raises:
        DataError: It must be a text, and is not UTF-8.
    """
    for kind in takes:
        suffix = MEDIA[kind].get(media)
        if suffix is None:
            continue
        if kind not in TEXTS:
            return Input(files={kind: (suffix, body)})
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            at = f"byte 0x{body[error.start]:02x} at {error.start}"
            raise DataError(f"a text must be UTF-8, got {at}") from None
        return Input(text=_letters(text) if kind == "sequence" else text)
    return None


def media_of(takes: Sequence[str]) -> list[str]:
    """Return the content types of a body, JSON first."""
    return ["application/json", *dict.fromkeys(name for kind in takes for name in MEDIA[kind])]


# ---- what a task parses --------------------------------------------------------------------------


def written(given: Input, folder: Path, takes: Sequence[str]) -> str:
    """Return what `heedful predict` would be given, with files written into a folder.

    Args:
        given: The input.
        folder: Of this input alone.
        takes: Kinds of the task. Of several, each is named, so that no text can pass for a path.

    Raises:
        DataError: A file would fill the memory.
    """
    paths: dict[str, str] = {}
    for kind, (suffix, content) in given.files.items():
        check_unpacked(content, kind)
        path = folder / f"{kind}{suffix}"
        path.write_bytes(content)
        paths[kind] = f"{path}:0" if kind == "video" else str(path)
    if len(takes) > 1:
        return json.dumps(paths if given.text is None else {**paths, "text": given.text})
    return next(iter(paths.values()), given.text or "")


def _suffix(kind: str, content: bytes) -> str:
    known = (suffix for start, suffix in MAGIC.items() if content.startswith(start))
    return next(known, next(iter(MEDIA[kind].values())))


def _table(rows: list[dict[str, Any]]) -> bytes:
    names = list(rows[0])
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
